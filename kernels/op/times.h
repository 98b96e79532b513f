/* times.h: y = x0 x1, f32. x1 has x0's shape (value by value; the two may be one tensor), or one value for
 * each row of x0: [rows, 1], or a single one: [1, 1]. Its gradient is then the sum, in f64, of x0 dy over
 * what a value multiplied, in an order that the shapes alone decide (on the CPU: index order). On a GPU that
 * sum is one block's work: scale what is small. `how`: none. */
#ifndef SB_KERNELS_OP_TIMES_H
#define SB_KERNELS_OP_TIMES_H

#include "kernels/op.h"

/* So many values of x0 in turn are multiplied by one of x1. */
static inline size_t sb_times_span(const sb_shape *xs)
{
    return sb_shape_elements(&xs[0]) / sb_shape_elements(&xs[1]);
}

#endif
