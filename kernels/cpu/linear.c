/* linear.c: y = x W' + b on the CPU; the products are oneDNN's. */
#include "kernels/cpu/cpu.h"
#include "kernels/op/linear.h"
#include "proto/error.h"

/* C[m, n] = op(A)[m, k] op(B)[k, n] + beta C, dense and row-major; beta 0: what C holds is not read. */
static int product(bool transpose_a, bool transpose_b, int m, int n, int k, const float *a, const float *b,
                   float beta, float *c)
{
    dnnl_status_t status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1, a,
                                      transpose_a ? m : k, b, transpose_b ? k : n, beta, c, n);
    return status == dnnl_success
               ? 0
               : sb_fail("oneDNN refuses a matrix product of [%d, %d] by [%d, %d]", m, k, k, n);
}

static void add_bias(int rows, int columns, const float *bias, float *y)
{
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            y[(size_t)r * (size_t)columns + (size_t)c] += bias[c];
}

static void add_column_sums(int rows, int columns, const float *dy, float *out)
{
#pragma omp parallel for schedule(static)
    for (int c = 0; c < columns; c++) {
        double sum = 0;
        for (int r = 0; r < rows; r++)
            sum += dy[(size_t)r * (size_t)columns + (size_t)c];
        out[c] += (float)sum;
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_linear_how *how = call->how;
    int rows = (int)sb_shape_rows(&call->xs[0]), in = call->xs[0].c, out = how->out;
    if (product(false, true, rows, out, in, call->x[0], call->w[0], 0, call->y) != 0)
        return -1;
    if (how->bias)
        add_bias(rows, out, call->w[1], call->y);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_linear_how *how = call->how;
    int rows = (int)sb_shape_rows(&call->xs[0]), in = call->xs[0].c, out = how->out;
    if (how->bias && call->dw[1])
        add_column_sums(rows, out, call->dy, call->dw[1]);
    if (call->dw[0] && product(true, false, out, in, rows, call->dy, call->x[0], 1, call->dw[0]) != 0)
        return -1;
    return call->dx[0]
               ? product(false, false, rows, in, out, call->dy, call->w[0], call->add[0] ? 1 : 0, call->dx[0])
               : 0;
}

const sb_kernel sb_cpu_linear = { .forward = forward, .backward = backward };
