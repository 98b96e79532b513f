/* gradient_bf16.h: the gradient at a convolution's weights in bf16, with the products of pairs that
 * AVX512_BF16 has: any kernel, stride and pad, x and dy in rows. Private to kernels/cpu.
 *
 * Products are exact, but numbers below 2^-126 are 0. Sums are f32, in an order that depends on the shapes
 * alone. A value of dy that is not finite meets the zeros beside an image. */
#ifndef SB_KERNELS_CPU_GRADIENT_BF16_H
#define SB_KERNELS_CPU_GRADIENT_BF16_H

#include "kernels/op/conv.h"

/* Whether kernels of our own are faster in bf16 than oneDNN's: this build and the processor have AVX512_BF16,
 * and the processor has no AMX. */
bool sb_cpu_own_bf16(void);

/* Bytes that the call below works in. x and y: [n, h, w, in] and [n, h, w, out] of the convolution. */
size_t sb_gradient_bf16_scratch(int threads, const sb_conv_how *how, const sb_shape *x, const sb_shape *y);

/* dw: [out, in, kernel, kernel], which is added to, or written. */
void sb_gradient_bf16(int threads, const sb_conv_how *how, const sb_shape *x, const sb_shape *y,
                      const void *from, const void *dy, float *dw, bool add, void *scratch);

#endif
