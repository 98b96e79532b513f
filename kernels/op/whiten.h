/* whiten.h: columns that vary by 1 and not together, in groups of rows (W-MSE, Ermolov et al. 2021), f32:
 * x [groups samples, d], rows n h w -> y of its shape. With X' a group's rows less their means, and the lower
 * triangle L of its covariance,
 *
 *     X'^T X' / (samples - 1) = L L^T,   Y = X' L^-T,   so Y^T Y / (samples - 1) is the identity
 *     backward: dX = (dY - Y (F + F^T) / (samples - 1)) L^-1, less its columns' means,
 *               F: the lower triangle of dY^T Y, with half of its diagonal
 *
 * A column that the columns before it explain (kernels/share/cholesky.h: one of equal values among them, and
 * all where there are fewer samples than columns) becomes 0, and has no gradient. The factor is computed
 * again on the way back. */
#ifndef SB_KERNELS_OP_WHITEN_H
#define SB_KERNELS_OP_WHITEN_H

#include "kernels/op.h"

#define SB_WHITEN_COLUMNS_MAX 1024

typedef struct {
    int samples; /* rows of a group; 2 or more */
} sb_whiten_how;

/* A call as the devices see it, and what a group works in, f64: its rows without means [samples, d], the
 * factor [d, d], backward also F [d, d], and the factor's first diagonal [d]. */
typedef struct {
    int groups, samples, columns;
} sb_whiten;

static inline sb_whiten sb_whiten_of(const sb_call *call)
{
    int samples = ((const sb_whiten_how *)call->how)->samples;
    sb_whiten s = { (int)(sb_shape_rows(&call->xs[0]) / (size_t)samples), samples, call->xs[0].c };
    return s;
}

SB_SHARED size_t sb_whiten_scratch(const sb_whiten *s)
{
    size_t d = (size_t)s->columns;
    return (size_t)s->samples * d + 2 * d * d + d;
}

#endif
