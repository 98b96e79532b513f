/* cholesky.h: when a pivot of a Cholesky factorisation counts as 0, the same on every device. A covariance
 * whose columns depend on each other has such pivots: what is left of a column's variance, once the columns
 * before it are taken out, is rounding. The factor's diagonal is 0 there, and a solution of a system has a 0
 * in its place.
 */
#ifndef SB_KERNELS_CHOLESKY_H
#define SB_KERNELS_CHOLESKY_H

#include <math.h>

#include "kernels/share/share.h"

#define SB_PIVOT_LEAST 1e-12

/* The factor's diagonal value for a pivot; diagonal: what stood there in the matrix. */
SB_SHARED double sb_pivot_root(double pivot, double diagonal)
{
    return pivot <= SB_PIVOT_LEAST * diagonal ? 0 : sqrt(pivot); /* NAN stays */
}

/* A value over the factor's diagonal value. */
SB_SHARED double sb_over_pivot(double value, double root) { return root == 0 ? 0 : value / root; }

#endif
