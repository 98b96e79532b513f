/* matmul.c: f32 matrix product through oneDNN. */
#include "kernels/cpu/cpu.h"
#include "proto/error.h"

int sb_cpu_matmul(sb_device *device, bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a,
                  const float *b, float beta, float *c)
{
    (void)device;
    dnnl_status_t status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a, transpose_a ? m : k, b,
                                      transpose_b ? k : n, beta, c, n);
    return status == dnnl_success ? 0 : sb_fail("oneDNN refuses a matrix product of [%d, %d] by [%d, %d]", m, k, k, n);
}
