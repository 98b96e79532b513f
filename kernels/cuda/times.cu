/* times.cu: y = x0 x1 on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/times.h"

static __global__ void times_forward(size_t count, const float *a, const float *b, float *y)
{
    size_t i = global_thread();
    if (i < count)
        y[i] = a[i] * b[i];
}

static __global__ void times_backward(size_t count, const float *other, const float *dy, float *dx, bool add)
{
    size_t i = global_thread();
    if (i < count)
        give(dx, SB_F32, i, other[i] * dy[i], add);
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(times_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count,
           (const float *)c->x[0], (const float *)c->x[1], (float *)c->y);
    return sb_cuda_launched("times_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    for (int i = 1; i >= 0; i--) {
        if (!c->dx[i])
            continue;
        LAUNCH(times_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count,
               (const float *)c->x[1 - i], (const float *)c->dy, (float *)c->dx[i], c->add[i]);
        if (sb_cuda_launched("times_backward") != 0)
            return -1;
    }
    return 0;
}

extern "C" const sb_kernel sb_cuda_times = { .forward = forward, .backward = backward };
