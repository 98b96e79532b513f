/* deviation.h: the deviation of each column in groups of rows: x f32 [groups samples, columns], rows = n h w
 * -> y [groups, columns]:
 *
 *     y = sqrt(sum (x - mean)^2 / (samples - 1) + epsilon)
 *
 * The variance is the unbiased one, as VICReg (Bardes et al. 2022, eq. 1) has it; sums are f64's.
 * backward: dx = dy (x - mean) / ((samples - 1) y), and 0 where y is 0. */
#ifndef SB_KERNELS_OP_DEVIATION_H
#define SB_KERNELS_OP_DEVIATION_H

#include "kernels/op.h"

typedef struct {
    int samples;   /* rows of a group; 2 or more */
    float epsilon; /* 0 or more */
} sb_deviation_how;

#endif
