/* pool.c: max pooling (3 x 3, stride 2, pad 1) and global average pooling. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/shapes.h"

int sb_cpu_maxpool_forward(sb_device *device, const sb_pool_shape *s, const void *x, void *y, uint8_t *argmax)
{
    (void)device;
    int oh = sb_maxpool_side(s->h), ow = sb_maxpool_side(s->w);
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < s->n; n++) {
        for (int i = 0; i < oh; i++) {
            for (int j = 0; j < ow; j++) {
                size_t to = (((size_t)n * (size_t)oh + (size_t)i) * (size_t)ow + (size_t)j) * (size_t)s->c;
                for (int k = 0; k < s->c; k++) {
                    float best = -INFINITY;
                    int where = 0;
                    for (int a = 0; a < 3; a++) {
                        int row = 2 * i - 1 + a;
                        if (row < 0 || row >= s->h)
                            continue;
                        for (int b = 0; b < 3; b++) {
                            int column = 2 * j - 1 + b;
                            if (column < 0 || column >= s->w)
                                continue;
                            size_t from = (((size_t)n * (size_t)s->h + (size_t)row) * (size_t)s->w + (size_t)column) * (size_t)s->c;
                            float value = sb_cpu_load(x, s->type, from + (size_t)k);
                            if (value > best) {
                                best = value;
                                where = 3 * a + b;
                            }
                        }
                    }
                    sb_cpu_store(y, s->type, to + (size_t)k, best);
                    argmax[to + (size_t)k] = (uint8_t)where;
                }
            }
        }
    }
    return 0;
}

/* Each input gathers from the at most four windows it lies in, so that threads write their own places only. */
int sb_cpu_maxpool_backward(sb_device *device, const sb_pool_shape *s, const uint8_t *argmax, const void *dy, const void *dy_more,
                            void *dx)
{
    (void)device;
    int oh = sb_maxpool_side(s->h), ow = sb_maxpool_side(s->w);
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < s->n; n++) {
        for (int row = 0; row < s->h; row++) {
            for (int column = 0; column < s->w; column++) {
                size_t to = (((size_t)n * (size_t)s->h + (size_t)row) * (size_t)s->w + (size_t)column) * (size_t)s->c;
                int i0 = row / 2, i1 = (row + 1) / 2, j0 = column / 2, j1 = (column + 1) / 2;
                for (int k = 0; k < s->c; k++) {
                    float sum = 0;
                    for (int i = i0; i <= i1 && i < oh; i++) {
                        for (int j = j0; j <= j1 && j < ow; j++) {
                            size_t from = (((size_t)n * (size_t)oh + (size_t)i) * (size_t)ow + (size_t)j) * (size_t)s->c + (size_t)k;
                            if (argmax[from] == 3 * (row - 2 * i + 1) + (column - 2 * j + 1))
                                sum += sb_cpu_load(dy, s->type, from) + (dy_more ? sb_cpu_load(dy_more, s->type, from) : 0);
                        }
                    }
                    sb_cpu_store(dx, s->type, to + (size_t)k, sum);
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
