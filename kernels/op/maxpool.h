/* maxpool.h: max pooling of 3 x 3 windows, stride 2, pad 1, in f32, bf16 or f16:
 * x [n, h, w, c] -> y [n, (h - 1) / 2 + 1, (w - 1) / 2 + 1, c].
 *
 * aux, 8 bits, of y's shape: where the maximum lies in its window, 0 .. 8; of equals the first. As
 * PyTorch has it, NaN is larger than any number, and of several the last counts. `how`: none. */
#ifndef SB_KERNELS_OP_MAXPOOL_H
#define SB_KERNELS_OP_MAXPOOL_H

#include "kernels/op.h"

#endif
