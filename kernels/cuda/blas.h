/* blas.h: f32 matrix products through cuBLAS, for the operations that have them. f32 means f32, and TF32 only
 * where the device may round (device.h). Private to kernels/cuda. */
#ifndef SB_KERNELS_CUDA_BLAS_H
#define SB_KERNELS_CUDA_BLAS_H

#include "kernels/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Starts cuBLAS, unless it has been started. To be called before free memory is asked for, because cuBLAS
 * takes some. */
int sb_cuda_blas_start(sb_cuda *cuda);

/* C[m, n] = alpha op(A)[m, k] op(B)[k, n] + beta C, dense and row-major, on the compute stream; beta 0: what
 * C holds is not read. */
int sb_cuda_sgemm(sb_device *device, bool transpose_a, bool transpose_b, int m, int n, int k, float alpha,
                  const float *a, const float *b, float beta, float *c);

#ifdef __cplusplus
}
#endif

#endif
