/* softplus.cu: log(1 + exp(x)) on a GPU. The exponential is of -|x|, so that it neither overflows nor drowns.
 */
#include "kernels/cuda/launch.h"
#include "kernels/op/softplus.h"

static __global__ void softplus_forward(size_t count, const float *x, float *y)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    float value = x[i], e = expf(-fabsf(value)), above = value > 0 ? value : 0;
    y[i] = above + log1pf(e);
}

static __global__ void softplus_backward(size_t count, const float *x, const float *dy, float *dx, bool add)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    float value = x[i], e = expf(-fabsf(value)), sigmoid = (value > 0 ? 1 : e) / (1 + e);
    give(dx, SB_F32, i, dy[i] * sigmoid, add);
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(softplus_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count,
           (const float *)c->x[0], (float *)c->y);
    return sb_cuda_launched("softplus_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(softplus_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count,
           (const float *)c->x[0], (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("softplus_backward");
}

extern "C" const sb_kernel sb_cuda_softplus = { .forward = forward, .backward = backward };
