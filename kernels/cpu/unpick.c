/* unpick.c: cells in their map again on the CPU. */
#include "kernels/op/unpick.h"

#include <string.h>

#include "kernels/cpu/cpu.h"

#define PIECE 256  /* of a row, on a thread's stack */
#define COLUMNS 16 /* of the token that one thread sums: a cache line of f32 */

static void find(const sb_unpick *s, const int32_t *index, int32_t *which)
{
    memset(which, -1, sb_unpick_scratch(s));
#pragma omp parallel for schedule(static)
    for (int n = 0; n < s->images; n++)
        for (int k = 0; k < s->given; k++)
            which[(size_t)n * (size_t)s->cells + (size_t)index[(size_t)n * (size_t)s->given + (size_t)k]] = k;
}

static void hide(const sb_unpick *s, const float *token, size_t row, void *y)
{
    const size_t at = row * (size_t)s->width;
    if (!token)
        memset((char *)y + at * sb_type_bytes(s->type), 0, (size_t)s->width * sb_type_bytes(s->type));
    else
        for (int c = 0; c < s->width; c++)
            sb_cpu_store(y, s->type, at + (size_t)c, token[c]);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_unpick s = sb_unpick_of(call);
    const size_t bytes = (size_t)s.width * sb_type_bytes(s.type);
    const int rows = s.images * s.places;
    find(&s, call->x[1], call->scratch);
#pragma omp parallel for schedule(static)
    for (int row = 0; row < rows; row++) {
        const int64_t from = sb_unpick_row(&s, call->scratch, row / s.places, row % s.places);
        if (from < 0)
            hide(&s, call->w[0], (size_t)row, call->y);
        else
            memcpy((char *)call->y + (size_t)row * bytes, (const char *)call->x[0] + (size_t)from * bytes,
                   bytes);
    }
    return 0;
}

/* Columns first .. first + count - 1 of the hidden rows of dy, added up in f64 in their order. */
static void add_hidden(const sb_call *call, const sb_unpick *s, int first, int count)
{
    const int rows = s->images * s->places;
    double sums[COLUMNS] = { 0 };
    float row[COLUMNS];
    for (int r = 0; r < rows; r++) {
        if (sb_unpick_row(s, call->scratch, r / s->places, r % s->places) >= 0)
            continue;
        sb_cpu_load_row(call->dy, s->type, (size_t)r * (size_t)s->width + (size_t)first, count, row);
        for (int i = 0; i < count; i++)
            sums[i] += (double)row[i];
    }
    for (int i = 0; i < count; i++)
        call->dw[0][first + i] += (float)sums[i];
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_unpick s = sb_unpick_of(call);
    const int rows = s.images * s.places;
    find(&s, call->x[1], call->scratch);
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++) {
        const int64_t to = call->dx[0] ? sb_unpick_row(&s, call->scratch, r / s.places, r % s.places) : -1;
        for (int c = 0; c < s.width && to >= 0; c += PIECE) {
            const int count = s.width - c < PIECE ? s.width - c : PIECE;
            float row[PIECE];
            sb_cpu_load_row(call->dy, s.type, (size_t)r * (size_t)s.width + (size_t)c, count, row);
            sb_cpu_give_row(call->dx[0], s.type, (size_t)to * (size_t)s.width + (size_t)c, count, row,
                            call->add[0]);
        }
    }
    if (call->dw[0]) {
#pragma omp parallel for schedule(static)
        for (int c = 0; c < s.width; c += COLUMNS)
            add_hidden(call, &s, c, s.width - c < COLUMNS ? s.width - c : COLUMNS);
    }
    return 0;
}

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_unpick s = sb_unpick_of(call);
    return sb_unpick_scratch(&s);
}

const sb_kernel sb_cpu_unpick = { .scratch = scratch, .forward = forward, .backward = backward };
