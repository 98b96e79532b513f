/* softmax.cu: softmax of rows on a GPU. A row is one block's, its sum in f64. */
#include "kernels/cuda/launch.h"
#include "kernels/op/softmax.h"

static __global__ void softmax(int columns, float temperature, const float *x, const float *offset, float *y)
{
    __shared__ double parts[THREADS / WARP];
    __shared__ float mosts[THREADS / WARP];
    size_t at = (size_t)blockIdx.x * (size_t)columns;
    float most = -INFINITY;
    for (int c = (int)threadIdx.x; c < columns; c += THREADS)
        most = fmaxf(most, x[at + (size_t)c] - (offset ? offset[c] : 0));
    most = block_max(most, mosts);
    double sum = 0;
    for (int c = (int)threadIdx.x; c < columns; c += THREADS) {
        double e = exp(((double)x[at + (size_t)c] - (offset ? offset[c] : 0) - most) / temperature);
        sum += e;
        y[at + (size_t)c] = (float)e;
    }
    sum = block_sum(sum, parts);
    for (int c = (int)threadIdx.x; c < columns; c += THREADS)
        y[at + (size_t)c] = (float)(y[at + (size_t)c] / sum);
}

static int forward(sb_device *device, const sb_call *c)
{
    LAUNCH(softmax, (unsigned)sb_shape_rows(&c->xs[0]), THREADS, 0, sb_cuda_compute(device), c->xs[0].c,
           ((const sb_softmax_how *)c->how)->temperature, (const float *)c->x[0], (const float *)c->x[1],
           (float *)c->y);
    return sb_cuda_launched("softmax");
}

extern "C" const sb_kernel sb_cuda_softmax = { .forward = forward };
