/* line.h: how a GPU normalises pixels (kernels/op/input.h). Private to kernels/cuda. */
#ifndef SB_KERNELS_CUDA_LINE_H
#define SB_KERNELS_CUDA_LINE_H

#include "kernels/cuda/launch.h"
#include "kernels/op/input.h"

static_assert(SB_INPUT_CHANNELS_MAX == 8, "a channel's numbers are picked from twice four");

typedef struct {
    float4 scale[2], offset[2];
} cuda_line;

static inline cuda_line cuda_line_of(const sb_input_how *how, int channels)
{
    const sb_input_line l = sb_input_line_of(how, channels);
    cuda_line line;
    for (int i = 0; i < 2; i++) {
        const float *s = l.scale + 4 * i, *o = l.offset + 4 * i;
        line.scale[i] = make_float4(s[0], s[1], s[2], s[3]);
        line.offset[i] = make_float4(o[0], o[1], o[2], o[3]);
    }
    return line;
}

/* An array among a kernel's arguments that is indexed goes to local memory; a select does not. */
static __device__ inline float of_four(float4 v, int k)
{
    return k == 0 ? v.x : k == 1 ? v.y : k == 2 ? v.z : v.w;
}

static __device__ inline float of_channel(const float4 *v, int k)
{
    return k < 4 ? of_four(v[0], k) : of_four(v[1], k - 4);
}

static __device__ inline float on_line(cuda_line line, uint8_t pixel, int channel)
{
    return (float)pixel * of_channel(line.scale, channel) + of_channel(line.offset, channel);
}

#endif
