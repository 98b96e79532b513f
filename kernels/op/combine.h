/* combine.h: y = alpha x0 + beta x1 + constant, value by value, f32 of any shape. x1 is optional: without it
 * y = alpha x0 + constant. What the factors are decides what it is: a sum, a difference, a scaled copy. y may
 * be x0 or x1 themselves (in a graph it never is). */
#ifndef SB_KERNELS_OP_COMBINE_H
#define SB_KERNELS_OP_COMBINE_H

#include "kernels/op.h"

typedef struct {
    float alpha, beta, constant;
} sb_combine_how;

#endif
