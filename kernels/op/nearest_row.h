/* nearest_row.h: for each row of x, the row of a queue that is most like it: the one with the largest
 * product, the first of equal ones, f32 [n, d], rows = n h w (the support set of NNCLR, Dwibedi et al. 2021,
 * eq. 2). Where no row of the queue is in use it is x's row itself. There is no gradient.
 *
 * x[0]: x [n, d]. x[1]: the queue's rows [m, d]. x[2]: `used` [1, 1], f32, read on the device: the first
 * `used` rows take part; below 0 it is 0, above m it is m. y: x's shape. The matrix of all products is never
 * in memory: a band of SB_NEAREST_ROW_BAND columns is. */
#ifndef SB_KERNELS_OP_NEAREST_ROW_H
#define SB_KERNELS_OP_NEAREST_ROW_H

#include "kernels/op.h"
#include "kernels/share/used.h"

#define SB_NEAREST_ROW_BAND 8192

/* A call as the devices see it. */
typedef struct {
    int rows, queue, columns; /* n, m, d */
    int band;                 /* rows of the queue that are looked at at once */
} sb_nearest_row;

static inline sb_nearest_row sb_nearest_row_of(const sb_call *call)
{
    const int queue = (int)sb_shape_rows(&call->xs[1]);
    sb_nearest_row s = { (int)sb_shape_rows(&call->xs[0]), queue, call->xs[0].c,
                         queue < SB_NEAREST_ROW_BAND ? queue : SB_NEAREST_ROW_BAND };
    return s;
}

#endif
