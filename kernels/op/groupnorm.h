/* groupnorm.h: group normalisation (Wu and He 2018), with residual and ReLU (norm.h). A mean and a variance
 * are those of one image's group of c / groups neighbouring channels; aux, f32 [n, 2, groups], keeps them. So
 * no two images are coupled, and nothing is gathered: evaluation does the same. Weights: gamma and beta. */
#ifndef SB_KERNELS_OP_GROUPNORM_H
#define SB_KERNELS_OP_GROUPNORM_H

#include "kernels/op/norm.h"

typedef struct {
    bool relu;
    int groups; /* a divisor of c */
    float epsilon;
} sb_groupnorm_how;

static inline sb_norm sb_groupnorm_of(const sb_call *call)
{
    const sb_groupnorm_how *how = (const sb_groupnorm_how *)call->how;
    const sb_shape *x = &call->xs[0];
    sb_norm s = { x->n,      x->h * x->w,  x->c,     how->groups, x->type, call->xs[1].n > 0,
                  how->relu, how->epsilon, x->block, x->h * x->w };
    return s;
}

#endif
