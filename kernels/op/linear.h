/* linear.h: y = x W' + b, f32: x [rows, in] -> y [rows, out], rows = n h w. w[0]: W [out, in]; w[1]: b [out],
 * where there is a bias. filters: the sides of w[0] are [out, in, 1, 1], as a convolution has them. */
#ifndef SB_KERNELS_OP_LINEAR_H
#define SB_KERNELS_OP_LINEAR_H

#include "kernels/op.h"

typedef struct {
    int out;
    bool bias, filters;
} sb_linear_how;

#endif
