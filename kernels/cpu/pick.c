/* pick.c: rows of each image by number on the CPU. */
#include "kernels/op/pick.h"

#include <string.h>

#include "kernels/cpu/cpu.h"

#define PIECE 256 /* of a row, on a thread's stack */

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_pick s = sb_pick_of(call);
    const size_t bytes = (size_t)s.width * sb_type_bytes(s.type);
    const int rows = s.rows;
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < s.images; n++)
        for (int r = 0; r < rows; r++)
            memcpy((char *)call->y + ((size_t)n * (size_t)rows + (size_t)r) * bytes,
                   (const char *)call->x[0] + sb_pick_row(&s, call->x[1], n, r) * bytes, bytes);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_pick s = sb_pick_of(call);
    const int rows = s.rows;
    if (!call->add[0])
        memset(call->dx[0], 0, sb_shape_bytes(&call->xs[0]));
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < s.images; n++)
        for (int r = 0; r < rows; r++) {
            const size_t from = ((size_t)n * (size_t)rows + (size_t)r) * (size_t)s.width,
                         to = sb_pick_row(&s, call->x[1], n, r) * (size_t)s.width;
            for (int c = 0; c < s.width; c += PIECE) {
                const int count = s.width - c < PIECE ? s.width - c : PIECE;
                float row[PIECE];
                sb_cpu_load_row(call->dy, s.type, from + (size_t)c, count, row);
                sb_cpu_give_row(call->dx[0], s.type, to + (size_t)c, count, row, call->add[0]);
            }
        }
    return 0;
}

const sb_kernel sb_cpu_pick = { .forward = forward, .backward = backward };
