/* unscale.h: y = factor x, f32 of any shape, and whether all of it is finite: aux [1], i32, is 1 where a
 * value of y is infinite or no number, else 0. y may be x itself. There is no gradient. */
#ifndef SB_KERNELS_OP_UNSCALE_H
#define SB_KERNELS_OP_UNSCALE_H

#include "kernels/op.h"

typedef struct {
    float factor;
} sb_unscale_how;

#endif
