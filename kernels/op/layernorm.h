/* layernorm.h: layer normalisation (Ba et al. 2016): every row [c] of x, f32, bf16 or f16 of any shape, by
 * its own mean and biased variance:
 *
 *   y = (x - mean) / sqrt(variance + epsilon) w0 + w1
 *
 * w0, w1: f32 [c]; either may be NULL in a call: 1 and 0. aux, f32 [n, h, w, 2]: mean and 1 / sqrt(variance +
 * epsilon) of each row. No row knows of another: it does the same in training and in evaluation. */
#ifndef SB_KERNELS_OP_LAYERNORM_H
#define SB_KERNELS_OP_LAYERNORM_H

#include "kernels/op.h"

typedef struct {
    float epsilon;
} sb_layernorm_how;

#endif
