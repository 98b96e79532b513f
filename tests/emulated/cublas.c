/* cublas.c: the calls of cuBLAS that kernels/cuda makes, on the CPU through oneDNN. */
#include <dnnl.h>
#include <stdlib.h>

#include <cublas_v2.h>

#include "tests/emulated/emulation.h"

#define TAG 0x626C6173u

struct cublasContext {
    uint32_t tag;
    cudaStream_t stream;
    bool workspace, rounds;
};

static void check_handle(cublasHandle_t handle)
{
    if (!handle || handle->tag != TAG)
        emulation_die("%p is no cuBLAS handle", (void *)handle);
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *out)
{
    if (emulation_fails())
        return CUBLAS_STATUS_NOT_INITIALIZED;
    cublasHandle_t handle = calloc(1, sizeof *handle);
    if (!handle || !emulation_library_opens()) {
        free(handle);
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    handle->tag = TAG;
    emulation_born();
    *out = handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    check_handle(handle);
    handle->tag = 0;
    free(handle);
    emulation_library_closes();
    emulation_gone();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    check_handle(handle);
    if (emulation_fails())
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes)
{
    check_handle(handle);
    if (emulation_fails())
        return CUBLAS_STATUS_INVALID_VALUE;
    emulation_check_range("cuBLAS' workspace", workspace, bytes);
    handle->workspace = true;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    check_handle(handle);
    if (emulation_fails())
        return CUBLAS_STATUS_INVALID_VALUE;
    if (mode != CUBLAS_PEDANTIC_MATH && !(mode == CUBLAS_TF32_TENSOR_OP_MATH && emulation_tf32))
        emulation_die("a math mode that may round f32 to TF32");
    handle->rounds = mode == CUBLAS_TF32_TENSOR_OP_MATH;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "success" : "an emulated error";
}

typedef struct {
    char transpose_a, transpose_b;
    int m, n, k, lda, ldb, ldc;
    float alpha, beta;
    const float *a, *b;
    float *c;
    bool rounds;
} product;

static float *rounded(const float *from, size_t count)
{
    float *to = malloc(count * sizeof *to);
    if (!to)
        emulation_die("out of memory");
    for (size_t i = 0; i < count; i++)
        to[i] = emulation_round_tf32(from[i]);
    return to;
}

static size_t floats(int columns, int rows, int leading)
{
    return (size_t)(columns - 1) * (size_t)leading + (size_t)rows;
}

/* Columns first is rows first of the transposed: C' = op(B)' op(A)'. */
static void run_product(void *call)
{
    product *p = call;
    const bool ta = p->transpose_a == 'T', tb = p->transpose_b == 'T';
    float *a = NULL, *b = NULL;
    if (p->rounds) {
        a = rounded(p->a, floats(ta ? p->m : p->k, ta ? p->k : p->m, p->lda));
        b = rounded(p->b, floats(tb ? p->k : p->n, tb ? p->n : p->k, p->ldb));
    }
    if (dnnl_sgemm(p->transpose_b, p->transpose_a, p->n, p->m, p->k, p->alpha, b ? b : p->b, p->ldb,
                   a ? a : p->a, p->lda, p->beta, p->c, p->ldc) != dnnl_success)
        emulation_die("oneDNN refuses a product");
    free(a);
    free(b);
}

static size_t span(int columns, int rows, int leading)
{
    return floats(columns, rows, leading) * sizeof(float);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t transpose_a,
                              cublasOperation_t transpose_b, int m, int n, int k, const float *alpha,
                              const float *a, int lda, const float *b, int ldb, const float *beta, float *c,
                              int ldc)
{
    check_handle(handle);
    if (!handle->stream || !handle->workspace)
        emulation_die("a product without stream or workspace");
    if (emulation_fails())
        return CUBLAS_STATUS_EXECUTION_FAILED;
    bool ta = transpose_a != CUBLAS_OP_N, tb = transpose_b != CUBLAS_OP_N;
    if (m < 0 || n < 0 || k < 0 || lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m)
        return CUBLAS_STATUS_INVALID_VALUE;
    emulation_check_range("a product's A", a, span(ta ? m : k, ta ? k : m, lda));
    emulation_check_range("a product's B", b, span(tb ? k : n, tb ? n : k, ldb));
    emulation_check_range("a product's C", c, span(n, m, ldc));
    product *p = malloc(sizeof *p);
    if (!p)
        return CUBLAS_STATUS_ALLOC_FAILED;
    *p = (product){ .transpose_a = ta ? 'T' : 'N',
                    .transpose_b = tb ? 'T' : 'N',
                    .m = m,
                    .n = n,
                    .k = k,
                    .lda = lda,
                    .ldb = ldb,
                    .ldc = ldc,
                    .alpha = *alpha,
                    .beta = *beta,
                    .a = a,
                    .b = b,
                    .c = c,
                    .rounds = handle->rounds };
    emulation_queue(handle->stream, run_product, p);
    return CUBLAS_STATUS_SUCCESS;
}
