/* maxpool.c: max pooling on the CPU: row by row of the output, or on the way back of the input, a run of
 * channels that lie side by side at a time. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/op/maxpool.h"

#define RUN 64 /* channels at most: in registers and the first cache */

/* Where the channels from k on of row `row` of image n begin; NONE: there is no such row. */
#define NONE ((size_t)-1)
static size_t row_at(const sb_shape *s, int n, int row, size_t k)
{
    return row < 0 || row >= s->h
               ? NONE
               : sb_shape_at(s, ((size_t)n * (size_t)s->h + (size_t)row) * (size_t)s->w, k);
}

/* The window of output column j in the three rows that begin at `rows`. */
static inline void window_forward(const sb_shape *s, const void *x, const size_t rows[3], int j, int count,
                                  float *best, int *where)
{
    const size_t step = sb_cpu_step(s);
    float value[RUN];
    for (int c = 0; c < count; c++) {
        best[c] = -INFINITY;
        where[c] = 0;
    }
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 3; b++) {
            const int column = 2 * j - 1 + b, place = 3 * a + b;
            if (rows[a] == NONE || column < 0 || column >= s->w)
                continue;
            sb_cpu_load_row(x, s->type, rows[a] + (size_t)column * step, count, value);
#pragma omp simd
            for (int c = 0; c < count; c++) {
                int larger = value[c] > best[c] || isnan(value[c]);
                where[c] = larger ? place : where[c];
                best[c] = larger ? value[c] : best[c];
            }
        }
    }
}

/* Row i of image n's output, `count` channels from k on. Places lie in rows. `count` is a constant where it
 * is inlined. */
INLINE void row_forward(const sb_call *call, int n, int i, int k, int count)
{
    const sb_shape *x = &call->xs[0], *y = &call->ys;
    const size_t to = row_at(y, n, i, (size_t)k);
    const size_t rows[] = { row_at(x, n, 2 * i - 1, (size_t)k), row_at(x, n, 2 * i, (size_t)k),
                            row_at(x, n, 2 * i + 1, (size_t)k) };
    uint8_t *places = (uint8_t *)call->aux +
                      ((size_t)n * (size_t)y->h + (size_t)i) * (size_t)y->w * (size_t)y->c + (size_t)k;
    for (int j = 0; j < y->w; j++) {
        int where[RUN];
        float best[RUN];
        window_forward(x, call->x[0], rows, j, count, best, where);
        sb_cpu_store_row(call->y, y->type, to + (size_t)j * sb_cpu_step(y), count, best);
        for (int c = 0; c < count; c++)
            places[(size_t)j * (size_t)y->c + (size_t)c] = (uint8_t)where[c];
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_shape *y = &call->ys;
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < y->n; n++)
        for (int i = 0; i < y->h; i++)
            for (int k = 0; k < y->c; k += sb_cpu_run(y, 0, RUN)) {
                if (y->block == 8)
                    row_forward(call, n, i, k, 8);
                else
                    row_forward(call, n, i, k, sb_cpu_run(y, k, RUN));
            }
    return 0;
}

/* What the windows that hold input column `column` of a row send back to it. They lie in two rows of y at
 * most: `rows` and `places` say where these begin, and `first` which place of their windows the row's column
 * 0 has in them. */
static inline void windows_backward(const sb_call *call, const size_t rows[2], const uint8_t *const places[2],
                                    const int first[2], int column, int count, float *sum)
{
    const sb_shape *y = &call->ys;
    float value[RUN];
    for (int c = 0; c < count; c++)
        sum[c] = 0;
    for (int a = 0; a < 2; a++)
        for (int j = column / 2; j <= (column + 1) / 2 && j < y->w; j++) {
            const uint8_t place = (uint8_t)(first[a] + column - 2 * j);
            if (rows[a] == NONE)
                continue;
            const uint8_t *found = places[a] + (size_t)j * (size_t)y->c;
            sb_cpu_load_row(call->dy, y->type, rows[a] + (size_t)j * sb_cpu_step(y), count, value);
#pragma omp simd
            for (int c = 0; c < count; c++)
                sum[c] += found[c] == place ? value[c] : 0;
        }
}

INLINE void row_backward(const sb_call *call, int n, int row, int k, int count)
{
    const sb_shape *x = &call->xs[0], *y = &call->ys;
    const int above = row / 2, below = (row + 1) / 2; /* one row of y, or two */
    const size_t to = row_at(x, n, row, (size_t)k), width = (size_t)y->w * (size_t)y->c;
    const size_t rows[] = { row_at(y, n, above, (size_t)k),
                            below > above ? row_at(y, n, below, (size_t)k) : NONE };
    const uint8_t *begin = (const uint8_t *)call->aux + (size_t)n * (size_t)y->h * width + (size_t)k;
    const uint8_t *const places[] = { begin + (size_t)above * width, begin + (size_t)below * width };
    const int first[] = { 3 * (row - 2 * above + 1) + 1, 3 * (row - 2 * below + 1) + 1 };
    for (int column = 0; column < x->w; column++) {
        float sum[RUN];
        windows_backward(call, rows, places, first, column, count, sum);
        sb_cpu_give_row(call->dx[0], x->type, to + (size_t)column * sb_cpu_step(x), count, sum, call->add[0]);
    }
}

/* Each input gathers from the at most four windows it lies in, so that threads write their own places only.
 */
static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_shape *x = &call->xs[0];
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < x->n; n++)
        for (int row = 0; row < x->h; row++)
            for (int k = 0; k < x->c; k += sb_cpu_run(x, 0, RUN)) {
                if (x->block == 8)
                    row_backward(call, n, row, k, 8);
                else
                    row_backward(call, n, row, k, sb_cpu_run(x, k, RUN));
            }
    return 0;
}

const sb_kernel sb_cpu_maxpool = { .layout = sb_cpu_as_comes, .forward = forward, .backward = backward };
