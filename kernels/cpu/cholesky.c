/* cholesky.c: see cholesky.h. */
#include "kernels/cpu/cholesky.h"

#include "kernels/share/cholesky.h"

#define ALONE 64 /* rows that are not worth other threads */

/* Row i less what the first j columns have of it. */
static double rest(const double *a, size_t n, size_t i, size_t j)
{
    double value = a[i * n + j];
    for (size_t k = 0; k < j; k++)
        value -= a[i * n + k] * a[j * n + k];
    return value;
}

void sb_cpu_cholesky(double *a, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        const double root = sb_pivot_root(rest(a, n, j, j), a[j * n + j]);
        a[j * n + j] = root;
#pragma omp parallel for schedule(static) if (n - j > ALONE)
        for (size_t i = j + 1; i < n; i++)
            a[i * n + j] = sb_over_pivot(rest(a, n, i, j), root);
    }
}

void sb_cpu_solve_lower(const double *l, size_t n, double *x)
{
    for (size_t i = 0; i < n; i++) {
        double value = x[i];
        for (size_t k = 0; k < i; k++)
            value -= l[i * n + k] * x[k];
        x[i] = sb_over_pivot(value, l[i * n + i]);
    }
}

void sb_cpu_solve_upper(const double *l, size_t n, double *x)
{
    for (size_t i = n; i-- > 0;) {
        const double value = x[i] = sb_over_pivot(x[i], l[i * n + i]);
        for (size_t k = 0; k < i; k++)
            x[k] -= l[i * n + k] * value;
    }
}
