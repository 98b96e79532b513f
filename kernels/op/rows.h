/* rows.h: x's rows in turn: y_i = x_((first + i) mod n), i < count; f32 [n, h, w, c] -> [count, h, w, c]. A
 * slice or, where it goes past the end, a roll: where rows are two views of samples (logsumexp_pairs.h),
 * count = 2 samples from first = samples on are the other view of each. Where count > n, a row comes more
 * than once: its gradient is the sum over its places in y, in their order, in f64. */
#ifndef SB_KERNELS_OP_ROWS_H
#define SB_KERNELS_OP_ROWS_H

#include "kernels/op.h"

typedef struct {
    int first, count;
} sb_rows_how;

#endif
