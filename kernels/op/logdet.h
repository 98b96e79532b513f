/* logdet.h: the volume that the rows of a view take (SimDINO, Wu et al. 2025: the coding rate), f32: x
 * [views samples, d], rows n h w -> y [views, 1]:
 *
 *     y = log det(I + scale X^T X),   X [samples, d]: the rows of a view
 *
 * The determinant of I + scale X X^T is the same, so devices factorise the smaller of the two, in f64. aux,
 * of x's shape: 2 scale X (I + scale X^T X)^-1; backward: dx = dy aux. */
#ifndef SB_KERNELS_OP_LOGDET_H
#define SB_KERNELS_OP_LOGDET_H

#include "kernels/op.h"

#define SB_LOGDET_SIDE_MAX 2048 /* of the smaller side */

typedef struct {
    int samples; /* rows of a view */
    float scale; /* above 0 */
} sb_logdet_how;

/* A call as the devices see it: in a view `count` vectors of `length`, count <= length. Value j of vector i
 * is x[i * across + j * along], in a view that is `whole` values. */
typedef struct {
    int views, count, length;
    size_t across, along, whole;
    double scale;
} sb_logdet;

static inline sb_logdet sb_logdet_of(const sb_call *call)
{
    const sb_logdet_how *how = (const sb_logdet_how *)call->how;
    int n = how->samples, d = call->xs[0].c, views = (int)(sb_shape_rows(&call->xs[0]) / (size_t)n);
    size_t width = (size_t)d, whole = (size_t)n * width;
    sb_logdet rows = { views, n, d, width, 1, whole, how->scale },
              columns = { views, d, n, 1, width, whole, how->scale };
    return n <= d ? rows : columns;
}

/* f64 values that a view works in: the matrix [count, count], its first diagonal [count], solutions of its
 * systems [count, length]. */
SB_SHARED size_t sb_logdet_scratch(const sb_logdet *s)
{
    size_t count = (size_t)s->count;
    return count * (count + 1 + (size_t)s->length);
}

#endif
