/* norm.h: what batchnorm.h and groupnorm.h have in common: values are brought to mean 0 and variance 1, then
 *
 *   y = relu?((x - mean) / sqrt(variance + epsilon) gamma + beta + residual?)
 *
 * in one pass over memory. x[0] [n, h, w, c], f32, bf16 or f16; x[1], optional: the residual, of the same
 * shape and type; y likewise. Variances are biased. Weights: gamma [c] (NULL: 1); beta [c] (NULL: 0).
 *
 * NaN passes a ReLU, and so does the gradient where it did, as PyTorch has it.
 *
 * The residual's gradient is dy where the ReLU let it through. y tells where that was; where there is no
 * residual, x does, and y is not kept. */
#ifndef SB_KERNELS_OP_NORM_H
#define SB_KERNELS_OP_NORM_H

#include "kernels/op.h"

/* A call as the devices see it: x [sets, rows, channels]. In each set the channels form `groups` runs of the
 * same length; a mean and a variance are those of one run in all rows of a set. Statistics [sets, 2, groups]:
 * a set's means, then its variances. In blocks of `block` channels (0: none) an image's `places` rows lie as
 * op.h says. */
typedef struct {
    int sets, rows, channels, groups;
    sb_type type;
    bool residual, relu;
    float epsilon;
    int block, places;
} sb_norm;

/* Backward makes two passes. The first reads x, y and dy and writes the residual's gradient; the second reads
 * x, and that or y and dy again, and writes the gradient of x: each over what is not read any more. */
#define SB_NORM_OVER                                                     \
    {                                                                    \
        SB_KEEPS_X(0) | SB_KEEPS_Y | SB_OVER_DY, SB_KEEPS_Y | SB_OVER_DY \
    }

/* For the op: refuses what no device computes. */
int sb_norm_shape(const char *name, const sb_shape *xs, sb_shape *y);
unsigned sb_norm_keeps(bool relu, const sb_shape *xs);
sb_cost sb_norm_cost(bool relu, const sb_shape *xs, bool backward);

#endif
