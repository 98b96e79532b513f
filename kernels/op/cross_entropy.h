/* cross_entropy.h: how far a softmax is from a target, row by row, f32, rows = n h w:
 *
 *     y_r  = - sum_k q_rk log p_rk,   p_r = softmax(x_r / T)
 *     dx_r = dy_r / T (p_r sum_k q_rk - q_r)
 *
 * x[0]: logits [rows, K]. x[1]: target q of the same shape; its rows need not sum to 1. q has no gradient:
 * who builds a graph stops it there (build.h does). y [rows, 1].
 * aux, f32 [rows, 2]: a row's largest logit, and log sum_k exp((x_k - largest) / T): no exponent is above 0.
 * (The loss of SwAV, Caron et al. 2020, eq. 2.) */
#ifndef SB_KERNELS_OP_CROSS_ENTROPY_H
#define SB_KERNELS_OP_CROSS_ENTROPY_H

#include "kernels/op.h"

typedef struct {
    float temperature;
} sb_cross_entropy_how;

#endif
