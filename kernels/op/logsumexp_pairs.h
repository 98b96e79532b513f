/* logsumexp_pairs.h: for each row, the log-sum-exp of its similarities with the other rows (the denominator
 * of SimCLR, Chen et al. 2020, eq. 1, and of DCL, Yeh et al. 2022):
 *
 *     y_i  = log sum_j exp(<z_i, z_j> / T) over the columns j that are left; `empty` where none is left
 *     dz_i = 1 / T sum_j (dy_i P_ij + dy_j P_ji) z_j
 *     P_ij = exp(<z_i, z_j> / T - lse_i), 0 where j is left out of row i
 *
 * x[0]: z, f32 [views * samples, width]; row i is a view of sample i mod samples.
 * x[1], optional: places, i32 [samples, 4] (share/overlap.h): samples that overlap are never each other's
 * negatives.
 * y: f32 [views * samples, 1]. aux, of y's shape: lse, -INFINITY where no column is left.
 * The matrix of all pairs is never in memory. */
#ifndef SB_KERNELS_OP_LOGSUMEXP_PAIRS_H
#define SB_KERNELS_OP_LOGSUMEXP_PAIRS_H

#include "kernels/op.h"
#include "kernels/share/overlap.h"

typedef struct {
    int samples;
    float temperature;
    bool positives; /* the other views of row i's sample are in its sum */
    float empty;    /* y where no column is left; its gradient is 0 */
} sb_logsumexp_pairs_how;

/* Whether column j is left out of row i's sum. Who leaves out whom is mutual. */
SB_SHARED bool sb_pair_left_out(const sb_logsumexp_pairs_how *how, const sb_square *places, int i, int j)
{
    int a = i % how->samples, b = j % how->samples;
    if (a == b)
        return i == j || !how->positives;
    return places && sb_overlap(&places[a], &places[b]);
}

#endif
