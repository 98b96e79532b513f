/* conv.h: a convolution with a square kernel, in f32, bf16 or f16:
 * x[0] [n, h, w, in] -> y [n, (h + 2 pad - kernel) / stride + 1, (w + 2 pad - kernel) / stride + 1, out],
 *
 *     y[n, i, j, o] = sum over a, b < kernel and c < in of
 *                     x[n, i stride - pad + a, j stride - pad + b, c] w[o, c, a, b] + bias[o]
 *
 * with x = 0 outside the image. w[0]: [out, in, kernel, kernel], the order of exports; `pack` brings it into
 * x's type and the device's layout. w[1]: [out], where there is a bias; it is added in f32, before or after y
 * is rounded to its type. Sums are f32.
 *
 * flat: a linear layer of every place: a kernel of 1 whose w[0] has the sides [out, in].
 *
 * standardised: each filter w[o] is brought to mean 0 and variance 1 when it is packed (standard_rows.h), and
 * the gradient is that of the weight as it is given.
 *
 * `scratch` and `packed` depend on what `plan` has chosen. Where call->gradient[0] is false (the first
 * layer), no data gradient is planned. */
#ifndef SB_KERNELS_OP_CONV_H
#define SB_KERNELS_OP_CONV_H

#include "kernels/op.h"

typedef struct {
    int out, kernel, stride, pad;
    bool standardised, bias, flat;
} sb_conv_how;

/* For the devices: the standardised filters of a call, in `to`; and from the gradient at them to dw[0], which
 * is added to. */
int sb_conv_standardise(sb_device *device, const sb_call *call, float *to);
int sb_conv_standardise_back(sb_device *device, const sb_call *call, const float *gradient);

#endif
