/* cholesky.h: a small symmetric matrix as L L', and systems with L, in f64. Sums run in index order, so no
 * result depends on the number of threads. kernels/share/cholesky.h says what becomes of pivots that are 0.
 * Private to kernels/cpu. */
#ifndef SB_KERNELS_CPU_CHOLESKY_H
#define SB_KERNELS_CPU_CHOLESKY_H

#include <stddef.h>

/* a [n, n], of which the lower triangle is looked at, becomes L there. */
void sb_cpu_cholesky(double *a, size_t n);

/* x [n] becomes the solution y of L y = x, and of L' y = x. */
void sb_cpu_solve_lower(const double *l, size_t n, double *x);
void sb_cpu_solve_upper(const double *l, size_t n, double *x);

#endif
