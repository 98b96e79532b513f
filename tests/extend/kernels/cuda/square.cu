/* square.cu: x^2 on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/square.h"

static __global__ void square_forward(size_t count, const float *x, float *y)
{
    size_t i = global_thread();
    if (i < count)
        y[i] = x[i] * x[i];
}

static __global__ void square_backward(size_t count, const float *x, const float *dy, float *dx, bool add)
{
    size_t i = global_thread();
    if (i < count)
        give(dx, SB_F32, i, 2 * x[i] * dy[i], add);
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(square_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, (const float *)c->x[0], (float *)c->y);
    return sb_cuda_launched("square_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(square_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, (const float *)c->x[0],
           (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("square_backward");
}

extern "C" const sb_kernel sb_cuda_square = { .forward = forward, .backward = backward };
