/* identity_distance.h: how far a square matrix is from the identity (Barlow Twins, Zbontar et al. 2021):
 * x [d, d] -> y [1, 1] = on sum_k (x_kk - 1)^2 + off sum_{k != l} x_kl^2, f32; d = n h w rows. With on = 0 it
 * is what a covariance has off its diagonal (VICReg, Bardes et al. 2022, eq. 4).
 * backward: dx_kk = 2 on dy (x_kk - 1), dx_kl = 2 off dy x_kl. */
#ifndef SB_KERNELS_OP_IDENTITY_DISTANCE_H
#define SB_KERNELS_OP_IDENTITY_DISTANCE_H

#include "kernels/op.h"

typedef struct {
    float on, off; /* what a value on the diagonal counts, and one off it; not below 0 */
} sb_identity_distance_how;

#endif
