/* input.cu: 8-bit pixels to normalised activations. */
#include "kernels/cuda/launch.h"

#define CHANNELS_MAX 4

/* An array among a kernel's arguments that is indexed goes to local memory; a select does not. */
static __device__ inline float pick(float4 v, int k) { return k == 0 ? v.x : k == 1 ? v.y : k == 2 ? v.z : v.w; }

static __global__ void input(size_t count, int c, float4 scale, float4 offset, const uint8_t *pixels, sb_type type, void *x)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    int channel = (int)(i % (size_t)c);
    store(x, type, i, (float)pixels[i] * pick(scale, channel) + pick(offset, channel));
}

int sb_cuda_input(sb_device *device, int n, int side, int c, const uint8_t *pixels, const float *mean, const float *std, sb_type type,
                  void *x)
{
    if (c > CHANNELS_MAX)
        return sb_fail("an input of %d channels", c);
    float scale[CHANNELS_MAX] = {}, offset[CHANNELS_MAX] = {};
    for (int k = 0; k < c; k++) {
        scale[k] = 1.0f / (255.0f * std[k]);
        offset[k] = -mean[k] / std[k];
    }
    size_t count = (size_t)n * (size_t)side * (size_t)side * (size_t)c;
    LAUNCH(input, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, c,
           make_float4(scale[0], scale[1], scale[2], scale[3]), make_float4(offset[0], offset[1], offset[2], offset[3]), pixels, type, x);
    return sb_cuda_launched("input");
}
