/* scatter.cu: rows put in their places on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/scatter.h"

/* A block for each row of x, which gives way to a later one for the same place. */
static __global__ void scatter_rows(int count, size_t width, const int32_t *index, const float *x, float *y)
{
    __shared__ double parts[THREADS / WARP];
    int i = (int)blockIdx.x, row = index[i];
    double later = 0;
    for (int j = i + 1 + (int)threadIdx.x; j < count; j += THREADS)
        later += index[j] == row;
    if (block_sum(later, parts) > 0)
        return;
    for (size_t k = threadIdx.x; k < width; k += THREADS)
        y[(size_t)row * width + k] = x[(size_t)i * width + k];
}

static int forward(sb_device *device, const sb_call *c)
{
    LAUNCH(scatter_rows, (unsigned)c->xs[0].n, THREADS, 0, sb_cuda_compute(device), c->xs[0].n,
           sb_shape_elements(&c->xs[1]) / (size_t)c->xs[1].n, (const int32_t *)c->x[0],
           (const float *)c->x[1], (float *)c->y);
    return sb_cuda_launched("scatter_rows");
}

extern "C" const sb_kernel sb_cuda_scatter = { .forward = forward };
