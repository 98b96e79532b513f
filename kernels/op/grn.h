/* grn.h: global response normalisation (Woo et al., "ConvNeXt V2", 2023, section 3.2): a channel of an image
 * is worth more where it answers more strongly than the image's others. x [n, h, w, c], f32, bf16 or f16;
 * g_c: the length of channel c of an image over its places, m the mean of these over the channels:
 *
 *   y = x (1 + w0 g_c / (m + epsilon)) + w1
 *
 * w0, w1: f32 [c], 0 at first, so that it begins as the identity. aux, f32 [n, 1, 1, c + 1]: g_c, then m +
 * epsilon. Places that are 0 count for nothing in g. No image knows of another: it does the same in training
 * and in evaluation.
 *
 * backward, with D_c the sum of dy x over the places of an image: dw0_c = the sum of g_c / (m + epsilon) D_c
 * over images, dw1 that of dy over rows, and dx = dy (1 + w0 g_c / (m + epsilon)) + x k_c, with
 * k_c g_c = w0_c D_c / (m + epsilon) - (the sum of w0 g D over channels) / (c (m + epsilon)^2); a channel of
 * length 0 has k_c = 0. */
#ifndef SB_KERNELS_OP_GRN_H
#define SB_KERNELS_OP_GRN_H

#include "kernels/op.h"

typedef struct {
    float epsilon;
} sb_grn_how;

#endif
