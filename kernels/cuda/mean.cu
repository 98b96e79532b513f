/* mean.cu: the mean of all values on a GPU. One block walks them: there are few, a value a row. */
#include "kernels/cuda/launch.h"
#include "kernels/op/mean.h"

static __global__ void mean_forward(size_t count, const float *x, float *y)
{
    __shared__ double parts[THREADS / WARP];
    double sum = 0;
    for (size_t i = threadIdx.x; i < count; i += THREADS)
        sum += x[i];
    sum = block_sum(sum, parts);
    if (threadIdx.x == 0)
        *y = (float)(sum / (double)count);
}

static __global__ void mean_backward(size_t count, const float *dy, float *dx, bool add)
{
    size_t i = global_thread();
    if (i < count)
        give(dx, SB_F32, i, (float)(*dy / (double)count), add);
}

static int forward(sb_device *device, const sb_call *c)
{
    LAUNCH(mean_forward, 1, THREADS, 0, sb_cuda_compute(device), sb_shape_elements(&c->xs[0]),
           (const float *)c->x[0], (float *)c->y);
    return sb_cuda_launched("mean_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->xs[0]);
    LAUNCH(mean_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, (const float *)c->dy,
           (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("mean_backward");
}

extern "C" const sb_kernel sb_cuda_mean = { .forward = forward, .backward = backward };
