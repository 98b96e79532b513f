/* input.cu: 8-bit pixels to normalised activations, on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/input.h"

static_assert(SB_INPUT_CHANNELS_MAX == 4, "a channel's numbers are picked from four");

/* An array among a kernel's arguments that is indexed goes to local memory; a select does not. */
static __device__ inline float pick(float4 v, int k)
{
    return k == 0 ? v.x : k == 1 ? v.y : k == 2 ? v.z : v.w;
}

static __global__ void normalise(size_t count, int c, float4 scale, float4 offset, const uint8_t *pixels,
                                 sb_type type, void *x)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    int channel = (int)(i % (size_t)c);
    store(x, type, i, (float)pixels[i] * pick(scale, channel) + pick(offset, channel));
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_input_how *how = (const sb_input_how *)c->how;
    size_t count = sb_shape_elements(&c->xs[0]);
    float scale[SB_INPUT_CHANNELS_MAX] = {}, offset[SB_INPUT_CHANNELS_MAX] = {};
    for (int k = 0; k < c->xs[0].c; k++) {
        scale[k] = sb_input_scale(how, k);
        offset[k] = sb_input_offset(how, k);
    }
    LAUNCH(normalise, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, c->xs[0].c,
           make_float4(scale[0], scale[1], scale[2], scale[3]),
           make_float4(offset[0], offset[1], offset[2], offset[3]), (const uint8_t *)c->x[0], how->type,
           c->y);
    return sb_cuda_launched("input");
}

extern "C" const sb_kernel sb_cuda_input = { .forward = forward };
