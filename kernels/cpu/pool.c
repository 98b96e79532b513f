/* pool.c: max pooling (3 x 3, stride 2, pad 1) and global average pooling. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/shapes.h"

#define BLOCK 64 /* channels that are worked on at once: in registers and the first cache */

static size_t pixel(int n, int h, int w, int row, int column) { return ((size_t)n * (size_t)h + (size_t)row) * (size_t)w + (size_t)column; }

/* The window of output (i, j): `count` channels from k on. */
static void window_forward(const sb_pool_shape *s, const void *x, int n, int i, int j, size_t k, int count, float *best, int *where)
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
            sb_cpu_load_row(x, s->type, pixel(n, s->h, s->w, row, column) * (size_t)s->c + k, count, value);
#pragma omp simd
            for (int c = 0; c < count; c++) {
                where[c] = value[c] > best[c] ? place : where[c];
                best[c] = value[c] > best[c] ? value[c] : best[c];
            }
        }
    }
}

int sb_cpu_maxpool_forward(sb_device *device, const sb_pool_shape *s, const void *x, void *y, uint8_t *argmax)
{
    (void)device;
    int oh = sb_maxpool_side(s->h), ow = sb_maxpool_side(s->w);
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < s->n; n++) {
        for (int i = 0; i < oh; i++) {
            for (int j = 0; j < ow; j++) {
                size_t to = pixel(n, oh, ow, i, j) * (size_t)s->c;
                for (int k = 0; k < s->c; k += BLOCK) {
                    int count = s->c - k < BLOCK ? s->c - k : BLOCK, where[BLOCK];
                    float best[BLOCK];
                    window_forward(s, x, n, i, j, (size_t)k, count, best, where);
                    sb_cpu_store_row(y, s->type, to + (size_t)k, count, best);
                    for (int c = 0; c < count; c++)
                        argmax[to + (size_t)(k + c)] = (uint8_t)where[c];
                }
            }
        }
    }
    return 0;
}

/* What the windows that hold input (row, column) send back to `count` of its channels from k on. */
static void windows_backward(const sb_pool_shape *s, const uint8_t *argmax, const void *dy, const void *dy_more, int n, int row, int column,
                             size_t k, int count, float *sum)
{
    int oh = sb_maxpool_side(s->h), ow = sb_maxpool_side(s->w);
    float value[BLOCK], more[BLOCK];
    for (int c = 0; c < count; c++)
        sum[c] = more[c] = 0;
    for (int i = row / 2; i <= (row + 1) / 2 && i < oh; i++) {
        for (int j = column / 2; j <= (column + 1) / 2 && j < ow; j++) {
            size_t from = pixel(n, oh, ow, i, j) * (size_t)s->c + k;
            uint8_t place = (uint8_t)(3 * (row - 2 * i + 1) + (column - 2 * j + 1));
            sb_cpu_load_row(dy, s->type, from, count, value);
            if (dy_more)
                sb_cpu_load_row(dy_more, s->type, from, count, more);
#pragma omp simd
            for (int c = 0; c < count; c++)
                sum[c] += argmax[from + (size_t)c] == place ? value[c] + more[c] : 0;
        }
    }
}

/* Each input gathers from the at most four windows it lies in, so that threads write their own places only. */
int sb_cpu_maxpool_backward(sb_device *device, const sb_pool_shape *s, const uint8_t *argmax, const void *dy, const void *dy_more,
                            void *dx)
{
    (void)device;
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < s->n; n++) {
        for (int row = 0; row < s->h; row++) {
            for (int column = 0; column < s->w; column++) {
                for (int k = 0; k < s->c; k += BLOCK) {
                    int count = s->c - k < BLOCK ? s->c - k : BLOCK;
                    float sum[BLOCK];
                    windows_backward(s, argmax, dy, dy_more, n, row, column, (size_t)k, count, sum);
                    sb_cpu_store_row(dx, s->type, pixel(n, s->h, s->w, row, column) * (size_t)s->c + (size_t)k, count, sum);
                }
            }
        }
    }
    return 0;
}

int sb_cpu_avgpool_forward(sb_device *device, const sb_pool_shape *s, const void *x, float *y)
{
    (void)device;
    size_t places = (size_t)s->h * (size_t)s->w, c = (size_t)s->c;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < s->n; n++) {
        float *out = y + (size_t)n * c;
        for (size_t k = 0; k < c; k++) {
            double sum = 0;
            for (size_t p = 0; p < places; p++)
                sum += sb_cpu_load(x, s->type, ((size_t)n * places + p) * c + k);
            out[k] = (float)(sum / (double)places);
        }
    }
    return 0;
}

int sb_cpu_avgpool_backward(sb_device *device, const sb_pool_shape *s, const float *dy, void *dx)
{
    (void)device;
    size_t places = (size_t)s->h * (size_t)s->w, c = (size_t)s->c;
    float share = (float)(1.0 / (double)places);
#pragma omp parallel for schedule(static)
    for (int n = 0; n < s->n; n++)
        for (size_t p = 0; p < places; p++)
            for (size_t k = 0; k < c; k++)
                sb_cpu_store(dx, s->type, ((size_t)n * places + p) * c + k, dy[(size_t)n * c + k] * share);
    return 0;
}
