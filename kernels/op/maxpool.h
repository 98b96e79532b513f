/* maxpool.h: max pooling of 3 x 3 windows, stride 2, pad 1: x [n, h, w, c] -> y [n, (h - 1) / 2 + 1, (w - 1)
 * / 2 + 1, c], f32 or bf16. aux, 8 bits, of y's shape: the place 0 .. 8 of the maximum in its window; of
 * equals the first. `how`: none. */
#ifndef SB_KERNELS_OP_MAXPOOL_H
#define SB_KERNELS_OP_MAXPOOL_H

#include "kernels/op.h"

#endif
