/* mask.cu: values replaced, on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/mask.h"

static __global__ void mask_forward(size_t count, size_t columns, sb_mask_how how, const sb_square *places,
                                    const float *x, float *y)
{
    size_t i = global_thread();
    if (i < count)
        y[i] = sb_masked(&how, places, columns, i) ? how.value : x[i];
}

static __global__ void mask_backward(size_t count, size_t columns, sb_mask_how how, const sb_square *places,
                                     const float *dy, float *dx, bool add)
{
    size_t i = global_thread();
    if (i < count)
        give(dx, SB_F32, i, sb_masked(&how, places, columns, i) ? 0 : dy[i], add);
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(mask_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, (size_t)c->ys.c,
           *(const sb_mask_how *)c->how, (const sb_square *)c->x[1], (const float *)c->x[0], (float *)c->y);
    return sb_cuda_launched("mask_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(mask_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, (size_t)c->ys.c,
           *(const sb_mask_how *)c->how, (const sb_square *)c->x[1], (const float *)c->dy, (float *)c->dx[0],
           c->add[0]);
    return sb_cuda_launched("mask_backward");
}

extern "C" const sb_kernel sb_cuda_mask = { .forward = forward, .backward = backward };
