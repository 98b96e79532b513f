/* norm.c: batch normalisation, with residual addition and ReLU in the same pass over memory.
 *
 * Two passes forward (sums; apply) and two backward (sums; apply), each reading every activation once. Sums run over blocks of SB_CPU_BLOCK
 * rows: each block sums x - shift and its square in f32 by column, blocks are added in order in f64. The shift is the first row,
 * which takes the mean's size out of the squares. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

#define ROWS 6

static int blocks_of(const sb_norm_shape *s) { return (s->rows + SB_CPU_BLOCK - 1) / SB_CPU_BLOCK; }

static size_t padded(const sb_norm_shape *s) { return ((size_t)s->channels + 15) / 16 * 16; }

/* A block: two sums by column and three rows of work space. Behind them ROWS rows for all. */
size_t sb_cpu_norm_scratch(sb_device *device, const sb_norm_shape *s)
{
    (void)device;
    return ((size_t)blocks_of(s) * 5 + ROWS) * padded(s) * sizeof(float);
}

typedef struct {
    float *first, *second;                   /* [blocks, channels] */
    float *row_a, *row_b, *row_c;            /* [blocks, channels]: each block's own */
    float *all[ROWS];                        /* [channels] */
} work;

static work carve(const sb_norm_shape *s, void *scratch)
{
    size_t width = padded(s), blocks = (size_t)blocks_of(s);
    float *p = scratch;
    work w = { .first = p, .second = p + blocks * width, .row_a = p + 2 * blocks * width, .row_b = p + 3 * blocks * width,
               .row_c = p + 4 * blocks * width };
    for (size_t i = 0; i < ROWS; i++)
        w.all[i] = p + 5 * blocks * width + i * width;
    return w;
}

/* sum[c] = sum over blocks, in order. */
static void fold(const sb_norm_shape *s, const float *partial, int channel, double *sum)
{
    size_t width = padded(s);
    *sum = 0;
    for (int b = 0; b < blocks_of(s); b++)
        *sum += partial[(size_t)b * width + (size_t)channel];
}

static void forward_sums(const sb_norm_shape *s, const void *x, const work *w)
{
    int c = s->channels, blocks = blocks_of(s);
    size_t width = padded(s);
    float *shift = w->all[0];
    sb_cpu_load_row(x, s->type, 0, c, shift);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        float *sum = w->first + (size_t)b * width, *square = w->second + (size_t)b * width, *row = w->row_a + (size_t)b * width;
        memset(sum, 0, (size_t)c * sizeof(float));
        memset(square, 0, (size_t)c * sizeof(float));
        int end = (b + 1) * SB_CPU_BLOCK < s->rows ? (b + 1) * SB_CPU_BLOCK : s->rows;
        for (int r = b * SB_CPU_BLOCK; r < end; r++) {
            sb_cpu_load_row(x, s->type, (size_t)r * (size_t)c, c, row);
#pragma omp simd
            for (int i = 0; i < c; i++) {
                float d = row[i] - shift[i];
                sum[i] += d;
                square[i] += d * d;
            }
        }
    }
}

/* y = relu?(x scale + offset + residual?) */
static void apply(const sb_norm_shape *s, const void *x, const void *residual, const float *scale, const float *offset, void *y,
                  float *rows_a, float *rows_b, size_t stride)
{
    int c = s->channels, blocks = blocks_of(s);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        float *row = rows_a + (size_t)b * stride, *add = rows_b + (size_t)b * stride;
        int end = (b + 1) * SB_CPU_BLOCK < s->rows ? (b + 1) * SB_CPU_BLOCK : s->rows;
        for (int r = b * SB_CPU_BLOCK; r < end; r++) {
            size_t at = (size_t)r * (size_t)c;
            sb_cpu_load_row(x, s->type, at, c, row);
#pragma omp simd
            for (int i = 0; i < c; i++)
                row[i] = row[i] * scale[i] + offset[i];
            if (s->residual) {
                sb_cpu_load_row(residual, s->type, at, c, add);
#pragma omp simd
                for (int i = 0; i < c; i++)
                    row[i] += add[i];
            }
            if (s->relu) {
#pragma omp simd
                for (int i = 0; i < c; i++)
                    row[i] = row[i] > 0 ? row[i] : 0;
            }
            sb_cpu_store_row(y, s->type, at, c, row);
        }
    }
}

static void scale_of(const sb_norm_shape *s, const float *gamma, const float *beta, const float *mean, const float *variance,
                     float *scale, float *offset)
{
    for (int i = 0; i < s->channels; i++) {
        scale[i] = (gamma ? gamma[i] : 1.0f) / sqrtf(variance[i] + s->epsilon);
        offset[i] = (beta ? beta[i] : 0.0f) - mean[i] * scale[i];
    }
}

int sb_cpu_norm_forward(sb_device *device, const sb_norm_shape *s, const void *x, const void *residual, const float *gamma,
                        const float *beta, void *y, float *mean, float *variance, void *scratch)
{
    (void)device;
    work w = carve(s, scratch);
    forward_sums(s, x, &w);
    for (int i = 0; i < s->channels; i++) {
        double sum, square;
        fold(s, w.first, i, &sum);
        fold(s, w.second, i, &square);
        double m = sum / s->rows, v = square / s->rows - m * m;
        mean[i] = (float)(w.all[0][i] + m);
        variance[i] = (float)(v > 0 ? v : 0);
    }
    scale_of(s, gamma, beta, mean, variance, w.all[1], w.all[2]);
    apply(s, x, residual, w.all[1], w.all[2], y, w.row_a, w.row_b, padded(s));
    return 0;
}

int sb_cpu_norm_apply(sb_device *device, const sb_norm_shape *s, const void *x, const void *residual, const float *gamma,
                      const float *beta, const float *mean, const float *variance, void *y, void *scratch)
{
    (void)device;
    work w = carve(s, scratch);
    scale_of(s, gamma, beta, mean, variance, w.all[1], w.all[2]);
    apply(s, x, residual, w.all[1], w.all[2], y, w.row_a, w.row_b, padded(s));
    return 0;
}

/* The gradient that reaches the normalised value: (dy + dy_more) where the ReLU let it through, which y tells, or, where there was no
 * residual, the row of x: the sign of row scale + offset, as `apply` computed it. */
static void masked_row(const sb_norm_shape *s, const void *y, const float *row, const float *scale, const float *offset, const void *dy,
                       const void *dy_more, size_t at, float *g, float *other)
{
    int c = s->channels;
    sb_cpu_load_row(dy, s->type, at, c, g);
    if (dy_more) {
        sb_cpu_load_row(dy_more, s->type, at, c, other);
#pragma omp simd
        for (int i = 0; i < c; i++)
            g[i] += other[i];
    }
    if (s->relu && s->residual) {
        sb_cpu_load_row(y, s->type, at, c, other);
#pragma omp simd
        for (int i = 0; i < c; i++)
            g[i] = other[i] > 0 ? g[i] : 0;
    } else if (s->relu) {
#pragma omp simd
        for (int i = 0; i < c; i++)
            g[i] = row[i] * scale[i] + offset[i] > 0 ? g[i] : 0;
    }
}

int sb_cpu_norm_backward(sb_device *device, const sb_norm_shape *s, const void *x, const void *y, const void *dy,
                         const void *dy_more, const float *gamma, const float *beta, const float *mean, const float *variance, void *dx,
                         void *dresidual, float *dgamma, float *dbeta, bool accumulate, void *scratch)
{
    (void)device;
    work w = carve(s, scratch);
    int c = s->channels, blocks = blocks_of(s);
    size_t width = padded(s);
    float *inverse = w.all[0], *from_g = w.all[1], *from_x = w.all[2], *constant = w.all[3], *scale = w.all[4], *offset = w.all[5];
    scale_of(s, gamma, beta, mean, variance, scale, offset);
    for (int i = 0; i < c; i++)
        inverse[i] = 1.0f / sqrtf(variance[i] + s->epsilon);

    /* Sums of g and of g xhat. Where there is a residual, g is its gradient and is kept for the second pass. */
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        size_t mine = (size_t)b * width;
        float *sum = w.first + mine, *product = w.second + mine, *g = w.row_a + mine, *other = w.row_b + mine, *row = w.row_c + mine;
        memset(sum, 0, (size_t)c * sizeof(float));
        memset(product, 0, (size_t)c * sizeof(float));
        int end = (b + 1) * SB_CPU_BLOCK < s->rows ? (b + 1) * SB_CPU_BLOCK : s->rows;
        for (int r = b * SB_CPU_BLOCK; r < end; r++) {
            size_t at = (size_t)r * (size_t)c;
            sb_cpu_load_row(x, s->type, at, c, row);
            masked_row(s, y, row, scale, offset, dy, dy_more, at, g, other);
#pragma omp simd
            for (int i = 0; i < c; i++) {
                sum[i] += g[i];
                product[i] += g[i] * ((row[i] - mean[i]) * inverse[i]);
            }
            if (s->residual)
                sb_cpu_store_row(dresidual, s->type, at, c, g);
        }
    }

    /* dx = gamma inverse (g - mean(g) - xhat mean(g xhat)) = g from_g + x from_x + constant */
    for (int i = 0; i < c; i++) {
        double sum, product;
        fold(s, w.first, i, &sum);
        fold(s, w.second, i, &product);
        if (dgamma)
            dgamma[i] = (accumulate ? dgamma[i] : 0) + (float)product;
        if (dbeta)
            dbeta[i] = (accumulate ? dbeta[i] : 0) + (float)sum;
        double slope = (gamma ? gamma[i] : 1.0f) * (double)inverse[i], along = slope * inverse[i] * product / s->rows;
        from_g[i] = (float)slope;
        from_x[i] = (float)-along;
        constant[i] = (float)(along * mean[i] - slope * sum / s->rows);
    }

#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        size_t mine = (size_t)b * width;
        float *g = w.row_a + mine, *other = w.row_b + mine, *row = w.row_c + mine;
        int end = (b + 1) * SB_CPU_BLOCK < s->rows ? (b + 1) * SB_CPU_BLOCK : s->rows;
        for (int r = b * SB_CPU_BLOCK; r < end; r++) {
            size_t at = (size_t)r * (size_t)c;
            sb_cpu_load_row(x, s->type, at, c, row);
            if (s->residual)
                sb_cpu_load_row(dresidual, s->type, at, c, g);
            else
                masked_row(s, y, row, scale, offset, dy, dy_more, at, g, other);
#pragma omp simd
            for (int i = 0; i < c; i++)
                row[i] = g[i] * from_g[i] + row[i] * from_x[i] + constant[i];
            sb_cpu_store_row(dx, s->type, at, c, row);
        }
    }
    return 0;
}

int sb_cpu_norm_running(sb_device *device, int channels, int rows, float momentum, const float *mean, const float *variance,
                        float *running_mean, float *running_variance)
{
    (void)device;
    float unbiased = rows > 1 ? (float)((double)rows / (rows - 1)) : 1.0f;
    for (int i = 0; i < channels; i++) {
        running_mean[i] = (1 - momentum) * running_mean[i] + momentum * mean[i];
        running_variance[i] = (1 - momentum) * running_variance[i] + momentum * variance[i] * unbiased;
    }
    return 0;
}
