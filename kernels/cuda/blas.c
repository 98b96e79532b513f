/* blas.c: see blas.h. cuBLAS knows columns first, so it is given C' = B' A'. */
#include "kernels/cuda/blas.h"

/* What cuBLAS recommends for Hopper. With workspace of our own nothing is allocated later, and the same call
 * gives the same bits. */
#define WORKSPACE_BYTES ((size_t)32 << 20)

static int check(cublasStatus_t status, const char *what)
{
    return status == CUBLAS_STATUS_SUCCESS ? 0 : sb_fail("%s: %s", what, cublasGetStatusString(status));
}

static int set_math(sb_cuda *cuda)
{
    const cublasMath_t mode = cuda->base.rounds ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_PEDANTIC_MATH;
    cuda->blas_rounds = cuda->base.rounds;
    return check(cublasSetMathMode(cuda->blas, mode), "cuBLAS");
}

/* Not when the device is opened: augment, which has no products, is spared the library's memory. */
int sb_cuda_blas_start(sb_cuda *cuda)
{
    if (cuda->blas)
        return 0;
    if (check(cublasCreate(&cuda->blas), "starting cuBLAS") != 0) {
        cuda->blas = NULL;
        return -1;
    }
    if (cuda->base.alloc(&cuda->base, WORKSPACE_BYTES, &cuda->blas_workspace) != 0)
        return sb_context("cuBLAS");
    if (check(cublasSetStream(cuda->blas, cuda->stream[SB_STREAM_COMPUTE]), "cuBLAS") != 0 ||
        check(cublasSetWorkspace(cuda->blas, cuda->blas_workspace, WORKSPACE_BYTES), "cuBLAS") != 0 ||
        set_math(cuda) != 0)
        return -1;
    return 0;
}

int sb_cuda_sgemm(sb_device *device, bool transpose_a, bool transpose_b, int m, int n, int k, float alpha,
                  const float *a, const float *b, float beta, float *c)
{
    sb_cuda *cuda = (sb_cuda *)device;
    if (sb_cuda_blas_start(cuda) != 0 || (cuda->blas_rounds != cuda->base.rounds && set_math(cuda) != 0))
        return -1;
    cublasStatus_t status = cublasSgemm(cuda->blas, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                                        transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, n, m, k, &alpha, b,
                                        transpose_b ? k : n, a, transpose_a ? m : k, &beta, c, n);
    if (status != CUBLAS_STATUS_SUCCESS)
        return sb_fail("a matrix product of [%d, %d] by [%d, %d]: %s", m, k, k, n,
                       cublasGetStatusString(status));
    return 0;
}
