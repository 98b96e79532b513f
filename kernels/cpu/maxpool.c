/* maxpool.c: max pooling on the CPU. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/op/maxpool.h"

#define BLOCK 64 /* channels that are worked on at once: in registers and the first cache */

static size_t pixel(const sb_shape *s, int n, int row, int column)
{
    return ((size_t)n * (size_t)s->h + (size_t)row) * (size_t)s->w + (size_t)column;
}

/* The window of output (i, j): `count` channels from k on. */
static void window_forward(const sb_shape *s, const void *x, int n, int i, int j, size_t k, int count,
                           float *best, int *where)
{
    float value[BLOCK];
    for (int c = 0; c < count; c++) {
        best[c] = -INFINITY;
        where[c] = 0;
    }
    for (int a = 0; a < 3; a++) {
        int row = 2 * i - 1 + a;
        for (int b = 0; b < 3; b++) {
            int column = 2 * j - 1 + b, place = 3 * a + b;
            if (row < 0 || row >= s->h || column < 0 || column >= s->w)
                continue;
            sb_cpu_load_row(x, s->type, pixel(s, n, row, column) * (size_t)s->c + k, count, value);
#pragma omp simd
            for (int c = 0; c < count; c++) {
                int larger = value[c] > best[c] || isnan(value[c]);
                where[c] = larger ? place : where[c];
                best[c] = larger ? value[c] : best[c];
            }
        }
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_shape *x = &call->xs[0], *y = &call->ys;
    uint8_t *places = call->aux;
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < y->n; n++) {
        for (int i = 0; i < y->h; i++) {
            for (int j = 0; j < y->w; j++) {
                size_t to = pixel(y, n, i, j) * (size_t)y->c;
                for (int k = 0; k < y->c; k += BLOCK) {
                    int count = y->c - k < BLOCK ? y->c - k : BLOCK, where[BLOCK];
                    float best[BLOCK];
                    window_forward(x, call->x[0], n, i, j, (size_t)k, count, best, where);
                    sb_cpu_store_row(call->y, y->type, to + (size_t)k, count, best);
                    for (int c = 0; c < count; c++)
                        places[to + (size_t)(k + c)] = (uint8_t)where[c];
                }
            }
        }
    }
    return 0;
}

/* What the windows that hold input (row, column) send back to `count` of its channels from k on. */
static void windows_backward(const sb_call *call, int n, int row, int column, size_t k, int count, float *sum)
{
    const sb_shape *y = &call->ys;
    const uint8_t *places = call->aux;
    float value[BLOCK];
    for (int c = 0; c < count; c++)
        sum[c] = 0;
    for (int i = row / 2; i <= (row + 1) / 2 && i < y->h; i++) {
        for (int j = column / 2; j <= (column + 1) / 2 && j < y->w; j++) {
            size_t from = pixel(y, n, i, j) * (size_t)y->c + k;
            uint8_t place = (uint8_t)(3 * (row - 2 * i + 1) + (column - 2 * j + 1));
            sb_cpu_load_row(call->dy, y->type, from, count, value);
#pragma omp simd
            for (int c = 0; c < count; c++)
                sum[c] += places[from + (size_t)c] == place ? value[c] : 0;
        }
    }
}

/* Each input gathers from the at most four windows it lies in, so that threads write their own places only.
 */
static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_shape *x = &call->xs[0];
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < x->n; n++) {
        for (int row = 0; row < x->h; row++) {
            for (int column = 0; column < x->w; column++) {
                for (int k = 0; k < x->c; k += BLOCK) {
                    int count = x->c - k < BLOCK ? x->c - k : BLOCK;
                    float sum[BLOCK];
                    windows_backward(call, n, row, column, (size_t)k, count, sum);
                    sb_cpu_give_row(call->dx[0], x->type, pixel(x, n, row, column) * (size_t)x->c + (size_t)k,
                                    count, sum, call->add[0]);
                }
            }
        }
    }
    return 0;
}

const sb_kernel sb_cpu_maxpool = { .forward = forward, .backward = backward };
