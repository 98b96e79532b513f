/* running.h: running statistics of batch normalisation: y = (1 - momentum) y + momentum x, each variance in x
 * first made unbiased with rows / (rows - 1). x[0], the batch's (batchnorm.h), and y, updated in place: f32
 * [2, 1, 1, c], mean then variance. No gradient. */
#ifndef SB_KERNELS_OP_RUNNING_H
#define SB_KERNELS_OP_RUNNING_H

#include "kernels/op.h"

typedef struct {
    int rows; /* of which x are the statistics */
    float momentum;
} sb_running_how;

/* What the biased variance is multiplied with. */
static inline float sb_running_unbiased(const sb_running_how *how)
{
    return how->rows > 1 ? (float)((double)how->rows / (how->rows - 1)) : 1.0f;
}

#endif
