/* softplus.h: y = log(1 + exp(x)), value by value, f32 of any shape; dx = dy / (1 + exp(-x)). Both to the
 * last digits on both sides of 0, and both 0 at -INFINITY. `how`: none. */
#ifndef SB_KERNELS_OP_SOFTPLUS_H
#define SB_KERNELS_OP_SOFTPLUS_H

#include "kernels/op.h"

#endif
