/* gather.c: rows by number on the CPU. */
#include "kernels/op/gather.h"

#include <string.h>

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const int32_t *index = call->x[0];
    const float *x = call->x[1];
    float *y = call->y;
    size_t width = sb_shape_elements(&call->xs[1]) / (size_t)call->xs[1].n;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < call->xs[0].n; i++)
        memcpy(y + (size_t)i * width, x + (size_t)index[i] * width, width * sizeof *y);
    return 0;
}

#define BLOCK 64 /* columns whose sums are made at once */

/* The sum over all that name the same row as number i, which is the first to, of these columns. */
static void add_up(const int32_t *index, int i, int count, const float *dy, size_t width, size_t from,
                   size_t columns, double sum[BLOCK])
{
    for (size_t k = 0; k < columns; k++)
        sum[k] = 0;
    for (int j = i; j < count; j++)
        for (size_t k = 0; index[j] == index[i] && k < columns; k++)
            sum[k] += (double)dy[(size_t)j * width + from + k];
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const int32_t *index = call->x[0];
    const float *dy = call->dy;
    float *dx = call->dx[1];
    int count = call->xs[0].n;
    size_t width = sb_shape_elements(&call->xs[1]) / (size_t)call->xs[1].n;
    if (!call->add[1])
        memset(dx, 0, sb_shape_bytes(&call->xs[1]));
#pragma omp parallel for schedule(static)
    for (int i = 0; i < count; i++) {
        int first = 0;
        while (index[first] != index[i])
            first++;
        for (size_t from = 0; first == i && from < width; from += BLOCK) {
            size_t columns = width - from < BLOCK ? width - from : BLOCK;
            double sum[BLOCK];
            add_up(index, i, count, dy, width, from, columns, sum);
            for (size_t k = 0; k < columns; k++)
                sb_cpu_give(dx, (size_t)index[i] * width + from + k, (float)sum[k], call->add[1]);
        }
    }
    return 0;
}

const sb_kernel sb_cpu_gather = { .forward = forward, .backward = backward };
