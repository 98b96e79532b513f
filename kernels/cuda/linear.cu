/* linear.cu: y = x W' + b on a GPU; the products are cuBLAS'. */
#include "kernels/cuda/launch.h"
#include "kernels/cuda/blas.h"
#include "kernels/op/linear.h"

#define LANES (THREADS / WARP)

static __global__ void bias_add(size_t count, int columns, const float *bias, float *y)
{
    size_t i = global_thread();
    if (i < count)
        y[i] += bias[i % (size_t)columns];
}

/* A block has WARP columns and walks the rows, LANES of them at a time. */
static __global__ void column_sum(int rows, int columns, const float *dy, float *out)
{
    __shared__ double part[LANES][WARP];
    int lane = (int)threadIdx.y, column = (int)(blockIdx.x * WARP + threadIdx.x);
    double sum = 0;
    for (int r = lane; r < rows && column < columns; r += LANES)
        sum += dy[(size_t)r * (size_t)columns + (size_t)column];
    part[lane][threadIdx.x] = sum;
    __syncthreads();
    if (lane != 0 || column >= columns)
        return;
    for (int l = 1; l < LANES; l++)
        sum += part[l][threadIdx.x];
    out[column] += (float)sum;
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_linear_how *how = (const sb_linear_how *)c->how;
    int rows = (int)sb_shape_rows(&c->xs[0]), in = c->xs[0].c, out = how->out;
    if (sb_cuda_sgemm(device, false, true, rows, out, in, 1, (const float *)c->x[0], c->w[0], 0,
                      (float *)c->y) != 0)
        return -1;
    if (!how->bias)
        return 0;
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(bias_add, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, out, c->w[1],
           (float *)c->y);
    return sb_cuda_launched("bias_add");
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_linear_how *how = (const sb_linear_how *)c->how;
    const float *dy = (const float *)c->dy;
    int rows = (int)sb_shape_rows(&c->xs[0]), in = c->xs[0].c, out = how->out;
    if (how->bias && c->dw[1]) {
        LAUNCH(column_sum, (out + WARP - 1) / WARP, dim3(WARP, LANES), 0, sb_cuda_compute(device), rows, out,
               dy, c->dw[1]);
        if (sb_cuda_launched("column_sum") != 0)
            return -1;
    }
    if (c->dw[0] &&
        sb_cuda_sgemm(device, true, false, out, in, rows, 1, dy, (const float *)c->x[0], 1, c->dw[0]) != 0)
        return -1;
    return c->dx[0] ? sb_cuda_sgemm(device, false, false, rows, in, out, 1, dy, c->w[0], c->add[0] ? 1 : 0,
                                    (float *)c->dx[0])
                    : 0;
}

extern "C" const sb_kernel sb_cuda_linear = { .forward = forward, .backward = backward };
