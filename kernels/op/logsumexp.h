/* logsumexp.h: for each row of a matrix of logits, the log-sum-exp over the columns that are left, f32, rows
 * = n h w:
 *
 *     y_r   = log sum_k exp(x_rk / T) over the columns k that are left; `empty` where none is left
 *     dx_rk = dy_r / T exp(x_rk / T - y_r), and 0 where k is left out
 *
 * x[0]: logits [rows, K]. x[1], optional: `used` [1, 1], f32, read on the device: the first `used` columns
 * are left (a queue's rows that there are); below 0 it is 0, above K it is K. x[2], optional: places, i32
 * [rows, 4] (share/overlap.h), where row r and column r are of sample r: a column is left out of the rows
 * that its sample overlaps. y [rows, 1]. aux, f32 [rows, 2]: a row's largest logit that is left (-INFINITY:
 * none is), and log sum_k exp((x_k - largest) / T): no exponent is above 0.
 *
 * This is the denominator of MoCo (He et al. 2020, eq. 1) over the rows of a queue, and of MoCo v3 and NNCLR
 * over the other view's rows. logsumexp_pairs.h is for all pairs of the rows of one matrix. */
#ifndef SB_KERNELS_OP_LOGSUMEXP_H
#define SB_KERNELS_OP_LOGSUMEXP_H

#include "kernels/op.h"
#include "kernels/share/overlap.h"
#include "kernels/share/used.h"

typedef struct {
    float temperature;
    bool diagonal; /* column r is left out of row r; places do not say it */
    float empty;   /* y where no column is left; its gradient is 0 */
} sb_logsumexp_how;

/* A call as the devices see it. */
typedef struct {
    sb_logsumexp_how how;
    size_t rows;
    int columns;
} sb_logsumexp;

static inline sb_logsumexp sb_logsumexp_of(const sb_call *call)
{
    sb_logsumexp l = { *(const sb_logsumexp_how *)call->how, sb_shape_rows(&call->xs[0]), call->xs[0].c };
    return l;
}

/* Whether column c, of the first that are used, is left out of row r. places may be NULL. */
SB_SHARED bool sb_logsumexp_left_out(const sb_logsumexp *l, const sb_square *places, size_t r, int c)
{
    if (r == (size_t)c)
        return l->how.diagonal;
    return places && sb_overlap(&places[r], &places[c]);
}

#endif
