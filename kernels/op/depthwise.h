/* depthwise.h: a convolution of each channel by itself with a square kernel, in f32, bf16 or f16:
 * x[0] [n, h, w, c] -> y [n, (h + 2 pad - kernel) / stride + 1, (w + 2 pad - kernel) / stride + 1, c],
 *
 *     y[n, i, j, c] = bias[c] + sum over a, b < kernel of x[n, i stride - pad + a, j stride - pad + b, c]
 *                                                         w[c, a, b]
 *
 * with x = 0 outside the image. w[0]: [c, 1, kernel, kernel], the order of exports; w[1]: bias [c], where
 * there is one. Weights are used as they are, in f32, and sums are f32. */
#ifndef SB_KERNELS_OP_DEPTHWISE_H
#define SB_KERNELS_OP_DEPTHWISE_H

#include "kernels/op.h"

typedef struct {
    int kernel, stride, pad;
    bool bias;
} sb_depthwise_how;

#endif
