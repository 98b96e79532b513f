/* line.h: how a GPU normalises pixels (kernels/op/input.h). Private to kernels/cuda. */
#ifndef SB_KERNELS_CUDA_LINE_H
#define SB_KERNELS_CUDA_LINE_H

#include "kernels/cuda/launch.h"
#include "kernels/op/input.h"

static_assert(SB_INPUT_CHANNELS_MAX == 4, "a channel's numbers are picked from four");

typedef struct {
    float4 scale, offset;
} cuda_line;

static inline cuda_line cuda_line_of(const sb_input_how *how, int channels)
{
    const sb_input_line l = sb_input_line_of(how, channels);
    cuda_line line;
    line.scale = make_float4(l.scale[0], l.scale[1], l.scale[2], l.scale[3]);
    line.offset = make_float4(l.offset[0], l.offset[1], l.offset[2], l.offset[3]);
    return line;
}

/* An array among a kernel's arguments that is indexed goes to local memory; a select does not. */
static __device__ inline float of_channel(float4 v, int k)
{
    return k == 0 ? v.x : k == 1 ? v.y : k == 2 ? v.z : v.w;
}

static __device__ inline float on_line(cuda_line line, uint8_t pixel, int channel)
{
    return (float)pixel * of_channel(line.scale, channel) + of_channel(line.offset, channel);
}

#endif
