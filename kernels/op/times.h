/* times.h: y = x0 x1, value by value, f32 of any shape. The two may be one tensor. `how`: none. */
#ifndef SB_KERNELS_OP_TIMES_H
#define SB_KERNELS_OP_TIMES_H

#include "kernels/op.h"

#endif
