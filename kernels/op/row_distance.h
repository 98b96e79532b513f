/* row_distance.h: the squared distance of two matrices row by row: y_r = |x0_r - x1_r|^2, f32: x0, x1 [rows,
 * columns] -> y [rows, 1], rows = n h w. backward: dx0 = 2 dy (x0 - x1), dx1 = -dx0. `how`: none. */
#ifndef SB_KERNELS_OP_ROW_DISTANCE_H
#define SB_KERNELS_OP_ROW_DISTANCE_H

#include "kernels/op.h"

#endif
