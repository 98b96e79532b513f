/* residual.h: y = x1 + gamma x0: what a block adds to what it was given. x0 and x1 are of one shape, f32,
 * bf16 or f16. gamma, f32 [c], is there where `how.scaled` says so and begins as `how.initial` (layer scale,
 * Touvron et al. 2021: a small number lets a deep network begin as almost no network at all); else it is 1.
 *
 * backward: dx0 = gamma dy, dx1 = dy, dgamma = the sum of dy x0 over rows. */
#ifndef SB_KERNELS_OP_RESIDUAL_H
#define SB_KERNELS_OP_RESIDUAL_H

#include "kernels/op.h"

typedef struct {
    bool scaled;
    float initial;
} sb_residual_how;

#endif
