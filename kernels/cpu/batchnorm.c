/* batchnorm.c: batch normalisation on the CPU.
 *
 * Two passes forward (sums; apply) and two backward (sums; apply), each reading every activation once. Sums
 * run over blocks of SB_CPU_BLOCK rows: each block sums x - shift and its square in f32 by column, a few rows
 * at a time, blocks are added in order in f64. The shift is the first row, which takes the mean's size out of
 * the squares. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/op/batchnorm.h"

static int blocks_of(const sb_batchnorm *s) { return (s->rows + SB_CPU_BLOCK - 1) / SB_CPU_BLOCK; }

static int end_of(const sb_batchnorm *s, int block)
{
    return (block + 1) * SB_CPU_BLOCK < s->rows ? (block + 1) * SB_CPU_BLOCK : s->rows;
}

static size_t padded(const sb_batchnorm *s) { return ((size_t)s->channels + 15) / 16 * 16; }

/* What a call works in. */
typedef struct {
    float *first, *second;             /* [blocks, channels]: sums */
    float *a, *b, *c;                  /* [blocks, channels]: rows of each block's own */
    float *shift;                      /* [channels], as all that follow */
    float *scale, *offset;             /* what normalising does: x scale + offset */
    float *inverse;                    /* 1 / deviation; backward, in the shift's place */
    float *from_g, *from_x, *constant; /* dx = g from_g + x from_x + constant */
} work;

#define FEW 16 /* rows whose sums are taken alone */
#define BLOCK_ROWS 5
#define SHARED_ROWS 6

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_batchnorm s = sb_batchnorm_of(call);
    return ((size_t)blocks_of(&s) * BLOCK_ROWS + SHARED_ROWS) * padded(&s) * sizeof(float);
}

static work lay_out_work(const sb_batchnorm *s, void *memory)
{
    size_t width = padded(s), many = (size_t)blocks_of(s) * width;
    float *each = memory, *all = each + BLOCK_ROWS * many;
    return (work){ .first = each,
                   .second = each + many,
                   .a = each + 2 * many,
                   .b = each + 3 * many,
                   .c = each + 4 * many,
                   .shift = all,
                   .inverse = all,
                   .scale = all + width,
                   .offset = all + 2 * width,
                   .from_g = all + 3 * width,
                   .from_x = all + 4 * width,
                   .constant = all + 5 * width };
}

/* The sum of a channel over blocks, in order. */
static double fold(const sb_batchnorm *s, const float *partial, int channel)
{
    size_t width = padded(s);
    double sum = 0;
    for (int b = 0; b < blocks_of(s); b++)
        sum += partial[(size_t)b * width + (size_t)channel];
    return sum;
}

/* What normalising with these statistics [2, channels] does to a row. */
static void set_affine(const sb_batchnorm *s, const sb_call *call, const float *mean, const work *w)
{
    const float *gamma = call->w[0], *beta = call->w[1], *variance = mean + s->channels;
    for (int i = 0; i < s->channels; i++) {
        w->scale[i] = (gamma ? gamma[i] : 1.0f) / sqrtf(variance[i] + s->epsilon);
        w->offset[i] = (beta ? beta[i] : 0.0f) - mean[i] * w->scale[i];
    }
}

/* Adds to the sums of a block those of a few of its rows, which begin anew: 256 numbers in a row would lose
 * more digits. */
static void add_few(int channels, float *sum, float *more, float *few, float *few_more)
{
#pragma omp simd
    for (int i = 0; i < channels; i++) {
        sum[i] += few[i];
        more[i] += few_more[i];
        few[i] = few_more[i] = 0;
    }
}

/* ---- forward ------------------------------------------------------------------------------------------- */

static void forward_sums(const sb_batchnorm *s, const void *x, const work *w)
{
    int c = s->channels, blocks = blocks_of(s);
    size_t width = padded(s);
    float *shift = w->shift;
    sb_cpu_load_row(x, s->type, 0, c, shift);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        size_t mine = (size_t)b * width;
        float *sum = w->first + mine, *square = w->second + mine, *row = w->a + mine;
        float *few = w->b + mine, *few_squares = w->c + mine;
        memset(sum, 0, (size_t)c * sizeof(float));
        memset(square, 0, (size_t)c * sizeof(float));
        memset(few, 0, (size_t)c * sizeof(float));
        memset(few_squares, 0, (size_t)c * sizeof(float));
        for (int r = b * SB_CPU_BLOCK; r < end_of(s, b); r++) {
            sb_cpu_load_row(x, s->type, (size_t)r * (size_t)c, c, row);
#pragma omp simd
            for (int i = 0; i < c; i++) {
                float d = row[i] - shift[i];
                few[i] += d;
                few_squares[i] += d * d;
            }
            if ((r + 1) % FEW == 0 || r + 1 == end_of(s, b))
                add_few(c, sum, square, few, few_squares);
        }
    }
}

/* The batch's mean and biased variance. */
static void forward_fold(const sb_batchnorm *s, const work *w, float *mean, float *variance)
{
    for (int i = 0; i < s->channels; i++) {
        double sum = fold(s, w->first, i), square = fold(s, w->second, i);
        double m = sum / s->rows, v = square / s->rows - m * m;
        mean[i] = (float)(w->shift[i] + m);
        variance[i] = (float)(v <= 0 ? 0 : v); /* NaN stays, here and below */
    }
}

/* y = relu?(x scale + offset + residual?) */
static void forward_apply(const sb_batchnorm *s, const sb_call *call, const work *w)
{
    int c = s->channels, blocks = blocks_of(s);
    const float *scale = w->scale, *offset = w->offset;
    size_t width = padded(s);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        float *row = w->a + (size_t)b * width, *other = w->b + (size_t)b * width;
        for (int r = b * SB_CPU_BLOCK; r < end_of(s, b); r++) {
            size_t at = (size_t)r * (size_t)c;
            sb_cpu_load_row(call->x[0], s->type, at, c, row);
#pragma omp simd
            for (int i = 0; i < c; i++)
                row[i] = row[i] * scale[i] + offset[i];
            if (s->residual) {
                sb_cpu_load_row(call->x[1], s->type, at, c, other);
#pragma omp simd
                for (int i = 0; i < c; i++)
                    row[i] += other[i];
            }
            if (s->relu) {
#pragma omp simd
                for (int i = 0; i < c; i++)
                    row[i] = row[i] <= 0 ? 0 : row[i];
            }
            sb_cpu_store_row(call->y, s->type, at, c, row);
        }
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_batchnorm s = sb_batchnorm_of(call);
    work w = lay_out_work(&s, call->scratch);
    const float *statistics = call->w[2];
    if (!statistics) {
        float *batch = call->aux;
        forward_sums(&s, call->x[0], &w);
        forward_fold(&s, &w, batch, batch + s.channels);
        statistics = batch;
    }
    set_affine(&s, call, statistics, &w);
    forward_apply(&s, call, &w);
    return 0;
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* g, the gradient that reaches the normalised value: dy where the ReLU let it through, which y tells, or,
 * where there was no residual, the row of x: the sign of row scale + offset, as forward computed it. */
static void masked_row(const sb_batchnorm *s, const sb_call *call, const work *w, const float *row, size_t at,
                       float *g, float *other)
{
    int c = s->channels;
    const float *scale = w->scale, *offset = w->offset;
    sb_cpu_load_row(call->dy, s->type, at, c, g);
    if (s->relu && s->residual) {
        sb_cpu_load_row(call->y, s->type, at, c, other);
#pragma omp simd
        for (int i = 0; i < c; i++)
            g[i] = other[i] <= 0 ? 0 : g[i];
    } else if (s->relu) {
#pragma omp simd
        for (int i = 0; i < c; i++)
            g[i] = row[i] * scale[i] + offset[i] <= 0 ? 0 : g[i];
    }
}

/* Sums of g and of g xhat. g is the residual's gradient. */
static void backward_sums(const sb_batchnorm *s, const sb_call *call, const work *w)
{
    int c = s->channels, blocks = blocks_of(s);
    size_t width = padded(s);
    const float *mean = call->aux, *inverse = w->inverse;
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        size_t mine = (size_t)b * width;
        float *sum = w->first + mine, *product = w->second + mine;
        float *g = w->a + mine, *other = w->b + mine, *row = w->c + mine;
        memset(sum, 0, (size_t)c * sizeof(float));
        memset(product, 0, (size_t)c * sizeof(float));
        for (int r = b * SB_CPU_BLOCK; r < end_of(s, b); r++) {
            size_t at = (size_t)r * (size_t)c;
            sb_cpu_load_row(call->x[0], s->type, at, c, row);
            masked_row(s, call, w, row, at, g, other);
#pragma omp simd
            for (int i = 0; i < c; i++) {
                sum[i] += g[i];
                product[i] += g[i] * ((row[i] - mean[i]) * inverse[i]);
            }
            if (call->dx[1])
                sb_cpu_give_row(call->dx[1], s->type, at, c, g, call->add[1]);
        }
    }
}

/* The weights' gradients, and dx = gamma inverse (g - mean(g) - xhat mean(g xhat)) as g from_g + x from_x +
 * constant. */
static void backward_fold(const sb_batchnorm *s, const sb_call *call, const work *w)
{
    const float *gamma = call->w[0], *mean = call->aux, *inverse = w->inverse;
    float *dgamma = call->dw[0], *dbeta = call->dw[1];
    for (int i = 0; i < s->channels; i++) {
        double sum = fold(s, w->first, i), product = fold(s, w->second, i);
        if (dgamma)
            dgamma[i] += (float)product;
        if (dbeta)
            dbeta[i] += (float)sum;
        double slope = (gamma ? gamma[i] : 1.0f) * (double)inverse[i];
        double along = slope * inverse[i] * product / s->rows;
        w->from_g[i] = (float)slope;
        w->from_x[i] = (float)-along;
        w->constant[i] = (float)(along * mean[i] - slope * sum / s->rows);
    }
}

/* g is read where the first pass wrote it alone, as the residual's gradient; else it is computed again. */
static void backward_apply(const sb_batchnorm *s, const sb_call *call, const work *w)
{
    int c = s->channels, blocks = blocks_of(s);
    size_t width = padded(s);
    const void *kept = call->add[1] ? NULL : call->dx[1];
    const float *from_g = w->from_g, *from_x = w->from_x, *constant = w->constant;
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        size_t mine = (size_t)b * width;
        float *g = w->a + mine, *other = w->b + mine, *row = w->c + mine;
        for (int r = b * SB_CPU_BLOCK; r < end_of(s, b); r++) {
            size_t at = (size_t)r * (size_t)c;
            sb_cpu_load_row(call->x[0], s->type, at, c, row);
            if (kept)
                sb_cpu_load_row(kept, s->type, at, c, g);
            else
                masked_row(s, call, w, row, at, g, other);
#pragma omp simd
            for (int i = 0; i < c; i++)
                row[i] = g[i] * from_g[i] + row[i] * from_x[i] + constant[i];
            sb_cpu_give_row(call->dx[0], s->type, at, c, row, call->add[0]);
        }
    }
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_batchnorm s = sb_batchnorm_of(call);
    work w = lay_out_work(&s, call->scratch);
    const float *statistics = call->aux, *variance = statistics + s.channels;
    set_affine(&s, call, statistics, &w);
    for (int i = 0; i < s.channels; i++)
        w.inverse[i] = 1.0f / sqrtf(variance[i] + s.epsilon);
    backward_sums(&s, call, &w);
    backward_fold(&s, call, &w);
    if (call->dx[0])
        backward_apply(&s, call, &w);
    return 0;
}

const sb_kernel sb_cpu_batchnorm = { .scratch = scratch, .forward = forward, .backward = backward };
