/* norm.c: batch and group normalisation on the CPU (kernels/op/norm.h).
 *
 * Two passes forward (sums; apply) and two backward (sums; apply), each reading every activation once. Sums
 * run over blocks of SB_CPU_BLOCK rows of a set: each block sums x - shift and its square in f32 by channel,
 * a few rows at a time, blocks and then the channels of a group are added in order in f64. The shift is the
 * set's first row, which takes the mean's size out of the squares. */
#include "kernels/cpu/norm.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

static int blocks_of_set(const sb_norm *s) { return (s->rows + SB_CPU_BLOCK - 1) / SB_CPU_BLOCK; }
static int blocks_of(const sb_norm *s) { return s->sets * blocks_of_set(s); }

/* The rows of a block, of all sets'. */
static int begin_of(const sb_norm *s, int block)
{
    return block / blocks_of_set(s) * s->rows + block % blocks_of_set(s) * SB_CPU_BLOCK;
}

static int end_of(const sb_norm *s, int block)
{
    const int end = begin_of(s, block) + SB_CPU_BLOCK, last = (block / blocks_of_set(s) + 1) * s->rows;
    return end < last ? end : last;
}

static size_t padded(const sb_norm *s) { return ((size_t)s->channels + 15) / 16 * 16; }

/* Where a block's set begins in an array of sets. */
static size_t set_at(const sb_norm *s, int block) { return (size_t)(block / blocks_of_set(s)) * padded(s); }

/* What a call works in. */
typedef struct {
    float *first, *second;             /* [blocks, channels]: sums */
    float *a, *b, *c;                  /* [blocks, channels]: rows of each block's own */
    float *shift;                      /* [sets, channels], as all that follow */
    float *scale, *offset;             /* what normalising does: x scale + offset */
    float *inverse, *mean;             /* backward: 1 / deviation, in the shift's place */
    float *from_g, *from_x, *constant; /* dx = g from_g + x from_x + constant */
} work;

#define FEW 16 /* rows whose sums are taken alone */
#define BLOCK_ROWS 5
#define SET_ROWS 7

size_t sb_cpu_norm_scratch(const sb_norm *s)
{
    return ((size_t)blocks_of(s) * BLOCK_ROWS + (size_t)s->sets * SET_ROWS) * padded(s) * sizeof(float);
}

static work lay_out_work(const sb_norm *s, void *memory)
{
    size_t width = padded(s), many = (size_t)blocks_of(s) * width, all = (size_t)s->sets * width;
    float *each = memory, *set = each + BLOCK_ROWS * many;
    return (work){ .first = each,
                   .second = each + many,
                   .a = each + 2 * many,
                   .b = each + 3 * many,
                   .c = each + 4 * many,
                   .shift = set,
                   .inverse = set,
                   .scale = set + all,
                   .offset = set + 2 * all,
                   .from_g = set + 3 * all,
                   .from_x = set + 4 * all,
                   .constant = set + 5 * all,
                   .mean = set + 6 * all };
}

/* The sum of a channel over the blocks of a set, in order. */
static double fold(const sb_norm *s, const float *partial, int set, int channel)
{
    const int blocks = blocks_of_set(s);
    size_t width = padded(s);
    double sum = 0;
    for (int b = set * blocks; b < (set + 1) * blocks; b++)
        sum += partial[(size_t)b * width + (size_t)channel];
    return sum;
}

/* What normalising with these statistics [sets, 2, groups] does to a row. */
static void set_affine(const sb_norm *s, const sb_call *call, const float *statistics, const work *w)
{
    const float *gamma = call->w[0], *beta = call->w[1];
    const int group = s->channels / s->groups;
#pragma omp parallel for schedule(static) if (s->sets > 1)
    for (int set = 0; set < s->sets; set++) {
        const float *mean = statistics + (size_t)set * 2 * (size_t)s->groups, *variance = mean + s->groups;
        float *scale = w->scale + (size_t)set * padded(s), *offset = w->offset + (size_t)set * padded(s);
        for (int i = 0; i < s->channels; i++) {
            scale[i] = (gamma ? gamma[i] : 1.0f) / sqrtf(variance[i / group] + s->epsilon);
            offset[i] = (beta ? beta[i] : 0.0f) - mean[i / group] * scale[i];
        }
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

static void forward_sums(const sb_norm *s, const void *x, const work *w)
{
    int c = s->channels, blocks = blocks_of(s);
    size_t width = padded(s);
    for (int set = 0; set < s->sets; set++)
        sb_cpu_load_row(x, s->type, (size_t)set * (size_t)s->rows * (size_t)c, c,
                        w->shift + (size_t)set * width);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        size_t mine = (size_t)b * width;
        const int begin = begin_of(s, b), end = end_of(s, b);
        const float *shift = w->shift + set_at(s, b);
        float *sum = w->first + mine, *square = w->second + mine, *row = w->a + mine;
        float *few = w->b + mine, *few_squares = w->c + mine;
        memset(sum, 0, (size_t)c * sizeof(float));
        memset(square, 0, (size_t)c * sizeof(float));
        memset(few, 0, (size_t)c * sizeof(float));
        memset(few_squares, 0, (size_t)c * sizeof(float));
        for (int r = begin; r < end; r++) {
            sb_cpu_load_row(x, s->type, (size_t)r * (size_t)c, c, row);
#pragma omp simd
            for (int i = 0; i < c; i++) {
                float d = row[i] - shift[i];
                few[i] += d;
                few_squares[i] += d * d;
            }
            if ((r - begin + 1) % FEW == 0 || r + 1 == end)
                add_few(c, sum, square, few, few_squares);
        }
    }
}

/* Mean and biased variance of a group: the channels', and how far their means are apart. */
static void fold_group(const sb_norm *s, const work *w, int set, int group, float *mean, float *variance)
{
    const int size = s->channels / s->groups, first = group * size;
    const float *shift = w->shift + (size_t)set * padded(s);
    double all = 0, total = 0;
    for (int i = first; i < first + size; i++)
        all += shift[i] + fold(s, w->first, set, i) / s->rows;
    all /= size;
    for (int i = first; i < first + size; i++) {
        double m = fold(s, w->first, set, i) / s->rows, apart = shift[i] + m - all;
        total += fold(s, w->second, set, i) / s->rows - m * m + apart * apart;
    }
    *mean = (float)all;
    *variance = (float)(total <= 0 ? 0 : total / size); /* NaN stays, here and below */
}

static void forward_fold(const sb_norm *s, const work *w, float *statistics)
{
#pragma omp parallel for schedule(static) if (s->sets > 1)
    for (int set = 0; set < s->sets; set++) {
        float *mean = statistics + (size_t)set * 2 * (size_t)s->groups;
        for (int g = 0; g < s->groups; g++)
            fold_group(s, w, set, g, &mean[g], &mean[s->groups + g]);
    }
}

/* y = relu?(x scale + offset + residual?) */
static void forward_apply(const sb_norm *s, const sb_call *call, const work *w)
{
    int c = s->channels, blocks = blocks_of(s);
    size_t width = padded(s);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        const float *scale = w->scale + set_at(s, b), *offset = w->offset + set_at(s, b);
        float *row = w->a + (size_t)b * width, *other = w->b + (size_t)b * width;
        for (int r = begin_of(s, b); r < end_of(s, b); r++) {
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

void sb_cpu_norm_forward(const sb_norm *s, const sb_call *call, const float *given)
{
    work w = lay_out_work(s, call->scratch);
    if (!given) {
        forward_sums(s, call->x[0], &w);
        forward_fold(s, &w, call->aux);
    }
    set_affine(s, call, given ? given : call->aux, &w);
    forward_apply(s, call, &w);
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* g, the gradient that reaches the normalised value: dy where the ReLU let it through, which y tells, or,
 * where there was no residual, the row of x: the sign of row scale + offset, as forward computed it. */
static void masked_row(const sb_norm *s, const sb_call *call, const float *scale, const float *offset,
                       const float *row, size_t at, float *g, float *other)
{
    int c = s->channels;
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

/* Mean and 1 / deviation of each channel. */
static void spread_statistics(const sb_norm *s, const float *statistics, const work *w)
{
    const int group = s->channels / s->groups;
#pragma omp parallel for schedule(static) if (s->sets > 1)
    for (int set = 0; set < s->sets; set++) {
        const float *mean = statistics + (size_t)set * 2 * (size_t)s->groups, *variance = mean + s->groups;
        for (int i = 0; i < s->channels; i++) {
            const size_t at = (size_t)set * padded(s) + (size_t)i;
            w->mean[at] = mean[i / group];
            w->inverse[at] = 1.0f / sqrtf(variance[i / group] + s->epsilon);
        }
    }
}

/* Sums of g and of g xhat. g is the residual's gradient. */
static void backward_sums(const sb_norm *s, const sb_call *call, const work *w)
{
    int c = s->channels, blocks = blocks_of(s);
    size_t width = padded(s);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        size_t mine = (size_t)b * width, set = set_at(s, b);
        const float *mean = w->mean + set, *inverse = w->inverse + set;
        float *sum = w->first + mine, *product = w->second + mine;
        float *g = w->a + mine, *other = w->b + mine, *row = w->c + mine;
        memset(sum, 0, (size_t)c * sizeof(float));
        memset(product, 0, (size_t)c * sizeof(float));
        for (int r = begin_of(s, b); r < end_of(s, b); r++) {
            size_t at = (size_t)r * (size_t)c;
            sb_cpu_load_row(call->x[0], s->type, at, c, row);
            masked_row(s, call, w->scale + set, w->offset + set, row, at, g, other);
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

/* dx = inverse (gamma g - mean(gamma g) - xhat mean(gamma g xhat)), with means over the group, as g from_g +
 * x from_x + constant. */
static void backward_fold(const sb_norm *s, const sb_call *call, const work *w)
{
    const float *gamma = call->w[0];
    const int size = s->channels / s->groups;
#pragma omp parallel for schedule(static) if (s->sets > 1)
    for (int set = 0; set < s->sets; set++)
        for (int first = 0; first < s->channels; first += size) {
            double sum = 0, product = 0, count = (double)s->rows * size;
            for (int i = first; i < first + size; i++) {
                const double factor = gamma ? gamma[i] : 1;
                sum += factor * fold(s, w->first, set, i);
                product += factor * fold(s, w->second, set, i);
            }
            for (int i = first; i < first + size; i++) {
                const size_t at = (size_t)set * padded(s) + (size_t)i;
                const double inverse = w->inverse[at], along = inverse * inverse * product / count;
                w->from_g[at] = (float)((gamma ? gamma[i] : 1) * inverse);
                w->from_x[at] = (float)-along;
                w->constant[at] = (float)(along * w->mean[at] - inverse * sum / count);
            }
        }
}

static void give_weights(const sb_norm *s, const sb_call *call, const work *w)
{
    float *dgamma = call->dw[0], *dbeta = call->dw[1];
    for (int i = 0; i < s->channels; i++) {
        double sum = 0, product = 0;
        for (int set = 0; set < s->sets; set++) {
            sum += fold(s, w->first, set, i);
            product += fold(s, w->second, set, i);
        }
        if (dgamma)
            dgamma[i] += (float)product;
        if (dbeta)
            dbeta[i] += (float)sum;
    }
}

/* g is read where the first pass wrote it alone, as the residual's gradient; else it is computed again. */
static void backward_apply(const sb_norm *s, const sb_call *call, const work *w)
{
    int c = s->channels, blocks = blocks_of(s);
    size_t width = padded(s);
    const void *kept = call->add[1] ? NULL : call->dx[1];
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        size_t mine = (size_t)b * width, set = set_at(s, b);
        const float *from_g = w->from_g + set, *from_x = w->from_x + set, *constant = w->constant + set;
        float *g = w->a + mine, *other = w->b + mine, *row = w->c + mine;
        for (int r = begin_of(s, b); r < end_of(s, b); r++) {
            size_t at = (size_t)r * (size_t)c;
            sb_cpu_load_row(call->x[0], s->type, at, c, row);
            if (kept)
                sb_cpu_load_row(kept, s->type, at, c, g);
            else
                masked_row(s, call, w->scale + set, w->offset + set, row, at, g, other);
#pragma omp simd
            for (int i = 0; i < c; i++)
                row[i] = g[i] * from_g[i] + row[i] * from_x[i] + constant[i];
            sb_cpu_give_row(call->dx[0], s->type, at, c, row, call->add[0]);
        }
    }
}

void sb_cpu_norm_backward(const sb_norm *s, const sb_call *call)
{
    work w = lay_out_work(s, call->scratch);
    set_affine(s, call, call->aux, &w);
    spread_statistics(s, call->aux, &w);
    backward_sums(s, call, &w);
    give_weights(s, call, &w);
    if (!call->dx[0])
        return;
    backward_fold(s, call, &w);
    backward_apply(s, call, &w);
}

void sb_cpu_norm_backward_given(const sb_norm *s, const sb_call *call, const float *given)
{
    work w = lay_out_work(s, call->scratch);
    int c = s->channels, blocks = blocks_of(s);
    set_affine(s, call, given, &w);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        size_t mine = (size_t)b * padded(s);
        const float *scale = w.scale + set_at(s, b);
        float *g = w.a + mine, *other = w.b + mine;
        for (int r = begin_of(s, b); r < end_of(s, b); r++) {
            size_t at = (size_t)r * (size_t)c;
            sb_cpu_load_row(call->dy, s->type, at, c, g);
            if (s->relu) {
                sb_cpu_load_row(call->y, s->type, at, c, other);
#pragma omp simd
                for (int i = 0; i < c; i++)
                    g[i] = other[i] <= 0 ? 0 : g[i];
            }
#pragma omp simd
            for (int i = 0; i < c; i++)
                other[i] = g[i] * scale[i];
            if (call->dx[1])
                sb_cpu_give_row(call->dx[1], s->type, at, c, g, call->add[1]);
            if (call->dx[0])
                sb_cpu_give_row(call->dx[0], s->type, at, c, other, call->add[0]);
        }
    }
}
