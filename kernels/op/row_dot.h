/* row_dot.h: the product of two matrices row by row: y_r = <x0_r, x1_r>, f32: x0, x1 [rows, columns] -> y
 * [rows, 1], rows = n h w. `how`: none. */
#ifndef SB_KERNELS_OP_ROW_DOT_H
#define SB_KERNELS_OP_ROW_DOT_H

#include "kernels/op.h"

#endif
