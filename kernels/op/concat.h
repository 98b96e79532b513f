/* concat.h: the rows of a, then those of b: f32 [n, h, w, c] and [m, h, w, c] -> [n + m, h, w, c]. The
 * gradient of each is its rows of dy. It has no `how`. */
#ifndef SB_KERNELS_OP_CONCAT_H
#define SB_KERNELS_OP_CONCAT_H

#include "kernels/op.h"

#endif
