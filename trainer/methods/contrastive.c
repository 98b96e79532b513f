/* contrastive.c: see contrastive.h. With z = x / |x|, p_i = <z_i, z_pos(i)> / T and n_i = log sum over the negatives of exp(s_ij / T):
 *
 *     SimCLR  L = 1/(2N) sum_i log(1 + exp(n_i - p_i)),  lse_i = log(exp n_i + exp p_i),  pull_i = 1 / (1 + exp(p_i - n_i))
 *     DCL     L = 1/(2N) sum_i n_i - p_i,                lse_i = n_i,                      pull_i = 1
 *     dL/dz_i = 1/(2N T) [ sum over the negatives of (P_ij + P_ji) z_j - (pull_i + pull_pos(i)) z_pos(i) ],  P_ij = exp(s_ij / T - lse_i)
 *
 * The positive never stands in the sum: its share of it less one is -pull_i, and that difference would lose every digit in f32
 * where the positive outweighs its negatives. */
#include "trainer/methods/contrastive.h"

#include <math.h>

#define PIECE 256

typedef struct {
    float *z, *dz;                                    /* [rows, width] */
    float *norm, *lse, *margin, *rows_loss, *pull;    /* [rows]; margin: n_i - p_i */
    float *positive;                                  /* [samples]: <z_i, z_pos(i)>, the same for both views */
} work;

static work carve(const sb_method_shape *s, float *scratch)
{
    size_t rows = 2 * (size_t)s->samples, values = rows * (size_t)s->width;
    float *by_row = scratch + 2 * values;
    return (work){ .z = scratch, .dz = scratch + values, .norm = by_row, .lse = by_row + rows, .margin = by_row + 2 * rows,
                   .rows_loss = by_row + 3 * rows, .pull = by_row + 4 * rows, .positive = by_row + 5 * rows };
}

size_t sb_contrastive_scratch(const sb_method_shape *s)
{
    size_t rows = 2 * (size_t)s->samples;
    return 2 * rows * (size_t)s->width + 5 * rows + (size_t)s->samples;
}

/* *total = the sum of device values, on the host, in f64 and in order. -INFINITY, an anchor without a negative, counts as nothing. */
static int sum(sb_device *d, size_t count, const float *values, double *total)
{
    float piece[PIECE];
    *total = 0;
    for (size_t done = 0; done < count; done += PIECE) {
        size_t n = count - done < PIECE ? count - done : PIECE;
        if (d->copy(d, SB_STREAM_COMPUTE, piece, values + done, n * sizeof *piece, SB_TO_HOST) != 0 || d->wait(d, SB_STREAM_COMPUTE) != 0)
            return -1;
        for (size_t i = 0; i < n; i++)
            *total += piece[i] == -INFINITY ? 0 : piece[i];
    }
    return 0;
}

/* y = x + alpha (positive, positive) */
static int add_positive(const sb_method_shape *s, const work *w, const float *x, float alpha, float *y)
{
    sb_device *d = s->device;
    size_t n = (size_t)s->samples;
    return d->copy(d, SB_STREAM_COMPUTE, y, x, 2 * n * sizeof(float), SB_ON_DEVICE) != 0 ||
                   d->axpy(d, n, alpha, w->positive, y) != 0 || d->axpy(d, n, alpha, w->positive, y + n) != 0
               ? -1
               : 0;
}

/* Loss and the positives' part of the gradient; afterwards w->lse is what the negatives' weights are measured against. */
static int decoupled_positives(const sb_method_shape *s, const work *w, float scale, double *loss)
{
    sb_device *d = s->device;
    size_t n = (size_t)s->samples, half = n * (size_t)s->width;
    double negatives, positives;
    if (sum(d, 2 * n, w->lse, &negatives) != 0 || sum(d, n, w->positive, &positives) != 0)
        return -1;
    *loss = (negatives - 2 * positives / s->temperature) / (2.0 * (double)n);
    return d->axpy(d, half, -2 * scale, w->z + half, w->dz) != 0 ? -1 : d->axpy(d, half, -2 * scale, w->z, w->dz + half);
}

static int coupled_positives(const sb_method_shape *s, const work *w, float scale, double *loss)
{
    sb_device *d = s->device;
    size_t n = (size_t)s->samples, half = n * (size_t)s->width;
    if (add_positive(s, w, w->lse, -1 / s->temperature, w->margin) != 0 ||
        d->logistic(d, 2 * n, w->margin, w->rows_loss, w->pull) != 0 ||
        add_positive(s, w, w->rows_loss, 1 / s->temperature, w->lse) != 0 || sum(d, 2 * n, w->rows_loss, loss) != 0 ||
        d->axpy(d, n, 1, w->pull + n, w->pull) != 0)
        return -1;
    *loss /= 2.0 * (double)n;
    return d->axpy_rows(d, s->samples, s->width, -scale, w->pull, w->z + half, w->dz) != 0
               ? -1
               : d->axpy_rows(d, s->samples, s->width, -scale, w->pull, w->z, w->dz + half);
}

int sb_contrastive_loss(const sb_method_shape *s, bool decoupled, const float *x, const uint8_t *skip, float *dx, double *loss,
                        float *scratch)
{
    sb_device *d = s->device;
    int n = s->samples, rows = 2 * n;
    size_t half = (size_t)n * (size_t)s->width;
    float scale = 1.0f / (float)rows;
    work w = carve(s, scratch);
    sb_similarity_shape shape = { .samples = n, .views = 2, .width = s->width, .temperature = s->temperature, .no_positives = true };
    if (d->rownorm_forward(d, rows, s->width, x, w.z, w.norm) != 0 || d->row_dot(d, n, s->width, w.z, w.z + half, w.positive) != 0 ||
        d->similarity_lse(d, &shape, w.z, skip, w.lse) != 0 || d->zero(d, w.dz, 2 * half * sizeof(float)) != 0)
        return -1;
    int rc = decoupled ? decoupled_positives(s, &w, scale / s->temperature, loss) : coupled_positives(s, &w, scale / s->temperature, loss);
    return rc != 0 || d->similarity_gradient(d, &shape, w.z, skip, w.lse, scale, w.dz) != 0 ||
                   d->rownorm_backward(d, rows, s->width, w.z, w.norm, w.dz, dx) != 0
               ? -1
               : 0;
}
