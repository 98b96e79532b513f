/* map.h: a function value by value, f32 of any shape:
 *
 *     SB_MAP_RELU    y = max(x, 0)         dx = 0 where x <= 0, else dy
 *     SB_MAP_ROOT    y = sqrt(max(x, 0))   dx = dy / (2 y), and 0 where y is 0
 *     SB_MAP_INVERSE y = 1 / x             dx = -y^2 dy
 *     SB_MAP_EXP     y = exp(x)            dx = y dy; y is rounded once from f64
 *     SB_MAP_COSINE  y = cos(x)            dx = -sin(x) dy; the angle is reduced in f64
 *     SB_MAP_SMOOTH  y = x^2 / 2 where |x| < 1, else |x| - 1/2 (smooth L1; Girshick 2015)
 *                                          dx = x dy, and sign(x) dy where |x| >= 1
 *
 * NaN stays NaN in each, as in PyTorch. softplus.h has a file of its own. */
#ifndef SB_KERNELS_OP_MAP_H
#define SB_KERNELS_OP_MAP_H

#include "kernels/op.h"

typedef enum {
    SB_MAP_RELU,
    SB_MAP_ROOT,
    SB_MAP_INVERSE,
    SB_MAP_EXP,
    SB_MAP_COSINE,
    SB_MAP_SMOOTH,
    SB_MAPS
} sb_map_function;

typedef struct {
    sb_map_function function;
} sb_map_how;

#endif
