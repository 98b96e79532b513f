/* batchnorm.h: batch normalisation (Ioffe and Szegedy 2015), with the addition of a residual and a ReLU in
 * the same pass over memory:
 *
 *   y = relu?((x - mean) / sqrt(variance + epsilon) gamma + beta + residual?)
 *
 * x[0] [n, h, w, c], f32 or bf16; x[1], optional: the residual, of the same shape and type; y likewise. Mean
 * and biased variance are a channel's, over its n h w values; aux, f32 [2, c], keeps them.
 *
 * Weights: gamma [c] (NULL: 1); beta [c] (NULL: 0); statistics [2, c], mean then variance (running.h). Where
 * the last are given, forward normalises with them instead of the batch's (evaluation): then no backward
 * follows, and aux, which may be NULL, is not written. They have no gradient. A node that leaves out all
 * three standardises the columns of its batch: it gathers nothing, and does the same in evaluation.
 *
 * NaN passes a ReLU, and so does the gradient where it did, as PyTorch has it.
 *
 * The residual's gradient is dy where the ReLU let it through. y tells where that was; where there is no
 * residual, x does, and y is not kept. */
#ifndef SB_KERNELS_OP_BATCHNORM_H
#define SB_KERNELS_OP_BATCHNORM_H

#include "kernels/op.h"

typedef struct {
    bool relu;
    float epsilon;
} sb_batchnorm_how;

/* A call as the devices see it: a matrix x [rows, channels], and what is done to it. */
typedef struct {
    int rows, channels;
    sb_type type;
    bool residual, relu;
    float epsilon;
} sb_batchnorm;

static inline sb_batchnorm sb_batchnorm_of(const sb_call *call)
{
    const sb_batchnorm_how *how = (const sb_batchnorm_how *)call->how;
    const sb_shape *x = &call->xs[0];
    sb_batchnorm s = { x->n * x->h * x->w, x->c, x->type, call->xs[1].n > 0, how->relu, how->epsilon };
    return s;
}

#endif
