/* gelu.h: y = (x + b) Phi(x + b), value by value, f32, bf16 or f16 of any shape, with Phi the distribution
 * function of the standard normal distribution (Hendrycks and Gimpel 2016; the form with erf, as PyTorch's
 * default). b, f32 [c], is there where `how.bias` says so: a bias that the layer before did not add itself.
 *
 * backward: dx = dy (Phi(u) + u phi(u)), u = x + b, with phi the density, and db its sum over rows, before it
 * is rounded to the type of x. Of u, f32, the result is off by at most (12 + 2 u^2) / 2^24 of itself: to the
 * last digits where it has a size, and with a relative error that does not run away on the left, where it is
 * almost 0. At -infinity it is NaN, as in PyTorch. */
#ifndef SB_KERNELS_OP_GELU_H
#define SB_KERNELS_OP_GELU_H

#include "kernels/op.h"

typedef struct {
    bool bias;
} sb_gelu_how;

#endif
