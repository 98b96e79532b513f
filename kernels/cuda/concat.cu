/* concat.cu: rows behind rows on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/concat.h"

static __global__ void concat_backward(size_t values, const float *dy, float *dx, bool add)
{
    size_t i = global_thread();
    if (i < values)
        give(dx, SB_F32, i, dy[i], add);
}

static int forward(sb_device *device, const sb_call *c)
{
    char *y = (char *)c->y;
    for (int i = 0; i < 2; i++) {
        const size_t bytes = sb_shape_bytes(&c->xs[i]);
        if (device->copy(device, SB_STREAM_COMPUTE, y, c->x[i], bytes, SB_ON_DEVICE) != 0)
            return -1;
        y += bytes;
    }
    return 0;
}

static int backward(sb_device *device, const sb_call *c)
{
    const float *dy = (const float *)c->dy;
    for (int i = 0; i < 2; i++) {
        const size_t values = sb_shape_elements(&c->xs[i]);
        if (c->dx[i])
            LAUNCH(concat_backward, blocks_for(values), THREADS, 0, sb_cuda_compute(device), values, dy,
                   (float *)c->dx[i], c->add[i]);
        dy += values;
    }
    return sb_cuda_launched("concat_backward");
}

extern "C" const sb_kernel sb_cuda_concat = { .forward = forward, .backward = backward };
