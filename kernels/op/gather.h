/* gather.h: rows by number: y_i = x_(index_i).
 *
 * x[0]: index, i32 [m, 1], each 0 .. n - 1: no device looks, so whoever uploads numbers has checked them.
 * x[1]: f32 [n, h, w, c]. y: f32 [m, h, w, c]. Backward: dx_j is the sum of dy_i over all i with index_i = j,
 * in their order, in f64; where no number is j, it is 0. Given to add, it touches no row but those that are
 * named.
 *
 * Both are read element by element, so either may begin anywhere in an array. `how`: none. */
#ifndef SB_KERNELS_OP_GATHER_H
#define SB_KERNELS_OP_GATHER_H

#include "kernels/op.h"

/* A check for the `shape` of an operation: -1 if x is no index. */
int sb_gather_check_index(const char *operation, const sb_shape *x);

#endif
