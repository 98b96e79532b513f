/* cholesky.h: a small symmetric matrix as L L', by one block of THREADS, and systems with L, by one thread
 * each, in f64 on a GPU. kernels/share/cholesky.h says what becomes of pivots that are 0. Private to
 * kernels/cuda. */
#ifndef SB_KERNELS_CUDA_CHOLESKY_H
#define SB_KERNELS_CUDA_CHOLESKY_H

#include "kernels/cuda/launch.h"
#include "kernels/share/cholesky.h"

/* a [n, n], of which the lower triangle is looked at, becomes L there. A column at a time: it is taken out of
 * what lies right of it. diagonal [n]: room for what stood on the diagonal. All threads of the block take
 * part; the matrix is whole for all of them afterwards. */
static __device__ inline void block_cholesky(double *a, double *diagonal, int n)
{
    size_t width = (size_t)n;
    for (int i = (int)threadIdx.x; i < n; i += THREADS)
        diagonal[i] = a[(size_t)i * width + (size_t)i];
    for (int j = 0; j < n; j++) {
        __syncthreads();
        double root = sb_pivot_root(a[(size_t)j * width + (size_t)j], diagonal[j]);
        __syncthreads();
        for (int i = j + (int)threadIdx.x; i < n; i += THREADS)
            a[(size_t)i * width + (size_t)j] = i == j ? root
                                                      : sb_over_pivot(a[(size_t)i * width + (size_t)j], root);
        __syncthreads();
        int left = n - j - 1;
        for (int at = (int)threadIdx.x; at < left * left; at += THREADS) {
            int i = j + 1 + at / left, k = j + 1 + at % left;
            if (k <= i)
                a[(size_t)i * width + (size_t)k] -= a[(size_t)i * width + (size_t)j] *
                                                    a[(size_t)k * width + (size_t)j];
        }
    }
    __syncthreads();
}

/* x [n], a value every `stride`, becomes the solution y of L y = x, and of L' y = x. */
static __device__ inline void solve_lower(const double *l, int n, double *x, size_t stride)
{
    for (int i = 0; i < n; i++) {
        double value = x[(size_t)i * stride];
        for (int k = 0; k < i; k++)
            value -= l[(size_t)i * (size_t)n + (size_t)k] * x[(size_t)k * stride];
        x[(size_t)i * stride] = sb_over_pivot(value, l[(size_t)i * (size_t)n + (size_t)i]);
    }
}

static __device__ inline void solve_upper(const double *l, int n, double *x, size_t stride)
{
    for (int i = n - 1; i >= 0; i--) {
        double value = sb_over_pivot(x[(size_t)i * stride], l[(size_t)i * (size_t)n + (size_t)i]);
        x[(size_t)i * stride] = value;
        for (int k = 0; k < i; k++)
            x[(size_t)k * stride] -= l[(size_t)i * (size_t)n + (size_t)k] * value;
    }
}

#endif
