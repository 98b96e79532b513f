/* avgpool.h: global average pooling: x [n, h, w, c], f32, bf16 or f16 -> y f32 [n, 1, 1, c], the mean over h
 * and w. `how`: none. */
#ifndef SB_KERNELS_OP_AVGPOOL_H
#define SB_KERNELS_OP_AVGPOOL_H

#include "kernels/op.h"

#endif
