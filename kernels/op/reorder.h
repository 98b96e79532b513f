/* reorder.h: y = x, f32, bf16 or f16, in the layout `block` (op.h, sb_shape). x lies in any; from rows to
 * rows it is a copy. What x holds behind its channels is not read, and y's padding is written as zeros. The
 * gradient goes the other way, from y's layout to x's. The plan puts it where two kernels want a tensor in
 * different layouts. */
#ifndef SB_KERNELS_OP_REORDER_H
#define SB_KERNELS_OP_REORDER_H

#include "kernels/op.h"

typedef struct {
    int block;
} sb_reorder_how;

#endif
