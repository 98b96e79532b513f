/* square.h: y = x^2, value by value, f32 of any shape; dx = 2 x dy. `how`: none. */
#ifndef SB_KERNELS_OP_SQUARE_H
#define SB_KERNELS_OP_SQUARE_H

#include "kernels/op.h"

#endif
