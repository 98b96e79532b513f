/* mean.h: the mean of all values of x, f32 of any shape -> y [1, 1]; dx = dy / count. The sum is in f64, in
 * an order that the count alone decides (on the CPU: index order). `how`: none. */
#ifndef SB_KERNELS_OP_MEAN_H
#define SB_KERNELS_OP_MEAN_H

#include "kernels/op.h"

#endif
