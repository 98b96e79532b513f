/* unit_rows.h: every row made a unit vector: y = x / max(|x|, 1e-12), f32 [rows, columns], rows = n h w.
 * (torch.nn.functional.normalize.) aux, f32 [rows, 1]: what each row was divided by. backward: dx = (dy - y
 * <y, dy>) / aux. y may be x itself (in a graph it never is). `how`: none. */
#ifndef SB_KERNELS_OP_UNIT_ROWS_H
#define SB_KERNELS_OP_UNIT_ROWS_H

#include "kernels/op.h"

#endif
