/* unit_columns.h: every column centred and made a unit vector, over a stack of rows: x [n, d], and below it
 * the first `used` of m earlier rows, through which no gradient goes; f32, rows = n h w -> y [n + m, d]:
 *
 *     y = (x - mean) / s,   s = sqrt(sum (x - mean)^2 + rows epsilon),   rows = n + used
 *
 * and 0 in the earlier rows that are not used. y_a' y_b of two such stacks is the correlation of their
 * columns (Barlow Twins, Zbontar et al. 2021, eq. 2; there with no earlier rows).
 *
 * x[0]: x. x[1], optional: the earlier rows [m, d]. x[2], with x[1]: `used` [1, 1], f32, read on the device:
 * a value below 0 is 0, and one above m is m. aux, f32 [1, d]: s. backward: dx = (dy - mean of dy - y sum (y
 * dy)) / s, sums over the stack. */
#ifndef SB_KERNELS_OP_UNIT_COLUMNS_H
#define SB_KERNELS_OP_UNIT_COLUMNS_H

#include "kernels/op.h"
#include "kernels/share/used.h"

typedef struct {
    float epsilon; /* 0 or more; with 0, a column of equal values becomes 0 */
} sb_unit_columns_how;

/* A call as the devices see it. */
typedef struct {
    int samples, earlier, columns; /* n, m, d */
    float epsilon;
} sb_unit_columns;

static inline sb_unit_columns sb_unit_columns_of(const sb_call *call)
{
    sb_unit_columns s = { (int)sb_shape_rows(&call->xs[0]), (int)sb_shape_rows(&call->xs[1]), call->xs[0].c,
                          ((const sb_unit_columns_how *)call->how)->epsilon };
    return s;
}

/* Rows of the stack that count: x's and the earlier ones in use. used [1] may be NULL. */
SB_SHARED int sb_unit_columns_rows(const sb_unit_columns *s, const float *used)
{
    return s->samples + sb_used(used, s->earlier, 0);
}

#endif
