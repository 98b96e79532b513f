/* batchnorm.h: batch normalisation (Ioffe and Szegedy 2015), with residual and ReLU (norm.h). Mean and
 * variance are a channel's, over its n h w values; aux, f32 [2, c], keeps them.
 *
 * Weights: gamma and beta; statistics [2, c], mean then variance (running.h). Where the last are given,
 * forward normalises with them instead of the batch's (evaluation): then no backward follows, and aux, which
 * may be NULL, is not written. They have no gradient. A node that leaves out all three standardises the
 * columns of its batch: it gathers nothing, and does the same in evaluation.
 *
 * frozen: a norm of images that were seen before, as torchvision's FrozenBatchNorm2d: statistics are always
 * given, in training too, there is no aux, and gamma and beta have no gradient. So it is an affine map of
 * each value, and couples no two images. */
#ifndef SB_KERNELS_OP_BATCHNORM_H
#define SB_KERNELS_OP_BATCHNORM_H

#include "kernels/op/norm.h"

typedef struct {
    bool relu, frozen;
    float epsilon;
} sb_batchnorm_how;

/* Its weights, for a node that leaves some out (graph.h). */
enum {
    SB_BATCHNORM_SCALE = 1u << 0,
    SB_BATCHNORM_SHIFT = 1u << 1,
    SB_BATCHNORM_STATISTICS = 1u << 2,
    SB_BATCHNORM_ALL = SB_BATCHNORM_SCALE | SB_BATCHNORM_SHIFT | SB_BATCHNORM_STATISTICS
};

static inline sb_norm sb_batchnorm_of(const sb_call *call)
{
    const sb_batchnorm_how *how = (const sb_batchnorm_how *)call->how;
    const sb_shape *x = &call->xs[0];
    sb_norm s = { 1,         x->n * x->h * x->w, x->c,     x->c,       x->type, call->xs[1].n > 0,
                  how->relu, how->epsilon,       x->block, x->h * x->w };
    return s;
}

#endif
