/* standard_rows.h: every row brought to mean 0 and variance 1: y = (x - mean) / sqrt(variance + 1e-6), f32
 * [rows, columns], rows = n h w; the variance is biased. For the filters of a convolution this is weight
 * standardisation (Qiao et al. 2019). Sums are f64's. backward: dx = (dy - mean(dy) - y mean(dy y)) /
 * sqrt(variance + 1e-6). `how`: none. */
#ifndef SB_KERNELS_OP_STANDARD_ROWS_H
#define SB_KERNELS_OP_STANDARD_ROWS_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SB_STANDARD_EPSILON 1e-6

/* A row in host memory: its mean and 1 / sqrt(variance + 1e-6); and y, which may be x. */
void sb_standard_find(const float *x, size_t columns, double *mean, double *inverse);
void sb_standard_row(const float *x, size_t columns, float *y);

#ifdef __cplusplus
}
#endif

#endif
