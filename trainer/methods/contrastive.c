/* contrastive.c: see contrastive.h.
 *
 *     L = 1/(2N) sum_i [ lse_i - <z_i, z_pos(i)> / T ],   z = x / |x|
 *     dL/dz_i = 1/(2N T) [ sum_j (P_ij + P_ji) z_j - 2 z_pos(i) ],   P_ij = exp(s_ij / T - lse_i) */
#include "trainer/methods/contrastive.h"

#include <math.h>
#include <stdlib.h>

#include "proto/error.h"

typedef struct {
    float *z, *dz, *norm, *lse, *positive;
} work;

static work carve(const sb_method_shape *s, float *scratch)
{
    size_t rows = 2 * (size_t)s->samples, values = rows * (size_t)s->width;
    return (work){ .z = scratch, .dz = scratch + values, .norm = scratch + 2 * values, .lse = scratch + 2 * values + rows,
                   .positive = scratch + 2 * values + 2 * rows };
}

size_t sb_contrastive_scratch(const sb_method_shape *s)
{
    size_t rows = 2 * (size_t)s->samples;
    return 2 * rows * (size_t)s->width + 2 * rows + (size_t)s->samples;
}

/* The mean on the host, in f64 and in order. An anchor whose every negative is left out (skip) counts with its positive alone. */
static int mean_loss(const sb_method_shape *s, const work *w, double *loss)
{
    sb_device *d = s->device;
    size_t n = (size_t)s->samples;
    float *host = malloc(3 * n * sizeof *host);
    if (!host)
        return sb_fail("out of memory");
    int rc = d->copy(d, SB_STREAM_COMPUTE, host, w->lse, 2 * n * sizeof(float), SB_TO_HOST);
    if (rc == 0)
        rc = d->copy(d, SB_STREAM_COMPUTE, host + 2 * n, w->positive, n * sizeof(float), SB_TO_HOST);
    if (rc == 0)
        rc = d->wait(d, SB_STREAM_COMPUTE); /* the loss is a value for the log */
    double sum = 0;
    for (size_t i = 0; rc == 0 && i < 2 * n; i++)
        sum += (host[i] == -INFINITY ? 0 : host[i]) - (double)host[2 * n + i % n] / s->temperature;
    *loss = sum / (2.0 * (double)n);
    free(host);
    return rc;
}

int sb_contrastive_loss(const sb_method_shape *s, bool no_positives, const float *x, const uint8_t *skip, float *dx, double *loss,
                        float *scratch)
{
    sb_device *d = s->device;
    int n = s->samples, rows = 2 * n;
    size_t half = (size_t)n * (size_t)s->width;
    float scale = 1.0f / (float)rows;
    work w = carve(s, scratch);
    sb_similarity_shape shape = { .samples = n, .views = 2, .width = s->width, .temperature = s->temperature,
                                  .no_positives = no_positives };
    if (d->rownorm_forward(d, rows, s->width, x, w.z, w.norm) != 0 || d->row_dot(d, n, s->width, w.z, w.z + half, w.positive) != 0 ||
        d->similarity_lse(d, &shape, w.z, skip, w.lse) != 0 || d->zero(d, w.dz, 2 * half * sizeof(float)) != 0 ||
        d->similarity_gradient(d, &shape, w.z, skip, w.lse, scale, w.dz) != 0 ||
        d->axpy(d, half, -2 * scale / s->temperature, w.z + half, w.dz) != 0 ||
        d->axpy(d, half, -2 * scale / s->temperature, w.z, w.dz + half) != 0 ||
        d->rownorm_backward(d, rows, s->width, w.z, w.norm, w.dz, dx) != 0)
        return -1;
    return mean_loss(s, &w, loss);
}
