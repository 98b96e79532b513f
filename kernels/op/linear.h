/* linear.h: y = x W' + b, f32: x [rows, in] -> y [rows, out], rows = n h w. w[0]: W [out, in]; w[1]: b [out],
 * where there is a bias. */
#ifndef SB_KERNELS_OP_LINEAR_H
#define SB_KERNELS_OP_LINEAR_H

#include "kernels/op.h"

typedef struct {
    int out;
    bool bias;
} sb_linear_how;

#endif
