/* sinkhorn.h: codes of samples over prototypes that use all prototypes alike (SwAV, Caron et al. 2020,
 * section 3.1, with the order of steps of its code): Sinkhorn and Knopp's scaling of E = exp(S / epsilon),
 * f32. S [B, K], rows samples and columns prototypes, is a stack: the first `used` rows of the earlier
 * scores, and below them x. `iterations` times, E's columns are scaled to equal sums, then its rows to sums
 * of 1; y is what becomes of x's rows, so each row of y sums to 1. There is no gradient.
 *
 * x[0]: scores [n, K], rows n h w. x[1], optional: earlier scores [m, K]. x[2], with x[1]: `used` [1, 1],
 * f32, read on the device: a value below 0 is 0, and one above m is m. y [n, K].
 *
 * E is made relative to each sample's largest score, which its scaling takes out again, so every sample has
 * an entry of 1. An entry below f32's smallest (scores 100 epsilon below the sample's largest) is 0; a
 * prototype that has no other is left out. */
#ifndef SB_KERNELS_OP_SINKHORN_H
#define SB_KERNELS_OP_SINKHORN_H

#include "kernels/op.h"
#include "kernels/share/used.h"

typedef struct {
    float epsilon;
    int iterations;
} sb_sinkhorn_how;

/* A call as the devices see it. */
typedef struct {
    int earlier, samples, columns; /* m, n, K */
    float epsilon;
} sb_sinkhorn;

static inline sb_sinkhorn sb_sinkhorn_of(const sb_call *call)
{
    sb_sinkhorn s = { (int)sb_shape_rows(&call->xs[1]), (int)sb_shape_rows(&call->xs[0]), call->xs[0].c,
                      ((const sb_sinkhorn_how *)call->how)->epsilon };
    return s;
}

/* The least first scaling of a sample: one that is far below the others still has a code. */
#define SB_SINKHORN_LEAST 1e-250

/* How many of the earlier rows count. used [1] may be NULL. */
SB_SHARED int sb_sinkhorn_used(const sb_sinkhorn *s, const float *used)
{
    return sb_used(used, s->earlier, 0);
}

#endif
