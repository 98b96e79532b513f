/* scatter.h: rows put in their places: y_(index_i) = x_i, all other rows of y stay. Where a number comes more
 * than once, the last row that has it wins. The inverse of gather.h, whose remarks on the index hold here.
 *
 * x[0]: index, i32 [m, 1], each 0 .. rows - 1. x[1]: f32 [m, h, w, c]. y: f32 [rows, h, w, c], updated. No
 * gradient. */
#ifndef SB_KERNELS_OP_SCATTER_H
#define SB_KERNELS_OP_SCATTER_H

#include "kernels/op.h"

typedef struct {
    int rows; /* of y */
} sb_scatter_how;

#endif
