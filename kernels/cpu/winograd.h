/* winograd.h: convolutions of 3 x 3, stride 1 and pad 1 with a quarter of the multiplications, which are f32,
 * of activations in f32 or bf16: F(4 x 4, 3 x 3) of Winograd's, after Lavin and Gray, "Fast algorithms for
 * convolutional neural networks" (CVPR 2016). Private to kernels/cpu.
 *
 * x and y lie in rows or in blocks of eight channels, and have multiples of eight. Each output is summed in
 * an order that depends on the shapes alone, a weight's gradient too. A value is rounded with all that
 * its tile of 6 x 6 places holds: of normal numbers it was seen to be off by 2.5 times what a sum of its own
 * terms may be, with 32 channels, and by less with more (tests/kernels/conv.c). */
#ifndef SB_KERNELS_CPU_WINOGRAD_H
#define SB_KERNELS_CPU_WINOGRAD_H

#include "kernels/op.h"

/* Bytes that the calls below work in. x and y: [n, h, w, in] and [n, h, w, out] of the convolution. */
size_t sb_winograd_scratch(int threads, const sb_shape *x, const sb_shape *y);

/* w: [out, in, 3, 3]. bias: [out], or NULL. */
void sb_winograd_forward(int threads, const sb_shape *x, const sb_shape *y, const void *from, const float *w,
                         const float *bias, void *to, void *scratch);

/* dx, written or added to. */
void sb_winograd_data(int threads, const sb_shape *x, const sb_shape *y, const void *dy, const float *w,
                      void *dx, bool add, void *scratch);

/* The gradient at w, written or added to dw. */
void sb_winograd_weight(int threads, const sb_shape *x, const sb_shape *y, const void *from, const void *dy,
                        float *dw, bool add, void *scratch);

#endif
