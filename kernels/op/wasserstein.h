/* wasserstein.h: how far each column is from normal numbers (VISReg's shape term), f32: x [views samples,
 * columns], rows n h w -> y [views, columns]. Of a view's N values, the i-th smallest is to be the normal
 * distribution's quantile at (i + 1) / (N + 1):
 *
 *     y = 1 / N sum_i (x_(i) - q_i)^2,   q_i: sb_normal_quantile
 *
 * That is the squared Wasserstein distance of the two. Equal values are ordered as their rows are. aux, of
 * x's shape: each value's quantile. backward: dx = 2 dy (x - aux) / N. */
#ifndef SB_KERNELS_OP_WASSERSTEIN_H
#define SB_KERNELS_OP_WASSERSTEIN_H

#include <math.h>

#include "kernels/op.h"

typedef struct {
    int samples; /* N */
} sb_wasserstein_how;

/* q_i, i = rank: where the normal distribution has (rank + 1) / (samples + 1) below. A rational approximation
 * (Abramowitz and Stegun 1964, 26.2.22; right to 3e-3) and three steps of Halley's, each of which cubes the
 * error. */
SB_SHARED double sb_normal_quantile(int rank, int samples)
{
    int below = rank + 1 < samples - rank ? rank + 1 : samples - rank; /* from the nearer end */
    double p = (double)below / (samples + 1), t = sqrt(-2 * log(p)),
           x = (2.30753 + 0.27061 * t) / (1 + 0.99229 * t + 0.04481 * t * t) - t;
    for (int i = 0; i < 3; i++) {
        double off = (0.5 * erfc(-x * M_SQRT1_2) - p) * sqrt(2 * M_PI) * exp(x * x / 2);
        x -= off / (1 + x * off / 2);
    }
    return below == rank + 1 ? x : -x;
}

#endif
