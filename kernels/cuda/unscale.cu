/* unscale.cu: y = factor x, and whether it is finite, on a GPU. Whoever finds a value that is not says so:
 * all write the same. */
#include "kernels/cuda/launch.h"
#include "kernels/op/unscale.h"

static __global__ void unscale(size_t count, float factor, const float *x, float *y, int32_t *wrong)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    y[i] = factor * x[i];
    if (!isfinite(y[i]))
        *wrong = 1;
}

static int forward(sb_device *device, const sb_call *c)
{
    const size_t count = sb_shape_elements(&c->ys);
    if (device->zero(device, c->aux, sizeof(int32_t)) != 0)
        return -1;
    LAUNCH(unscale, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count,
           ((const sb_unscale_how *)c->how)->factor, (const float *)c->x[0], (float *)c->y,
           (int32_t *)c->aux);
    return sb_cuda_launched("unscale");
}

extern "C" const sb_kernel sb_cuda_unscale = { .forward = forward };
