/* blas.c: f32 matrix products through oneDNN, for the operations that have them. */
#include "kernels/cpu/cpu.h"
#include "proto/error.h"

int sb_cpu_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a,
                 const float *b, float beta, float *c)
{
    dnnl_status_t status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a,
                                      transpose_a ? m : k, b, transpose_b ? k : n, beta, c, n);
    return status == dnnl_success
               ? 0
               : sb_fail("oneDNN refuses a matrix product of [%d, %d] by [%d, %d]", m, k, k, n);
}
