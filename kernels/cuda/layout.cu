/* layout.cu: see layout.h. */
#include "kernels/cuda/layout.h"

#include "kernels/cuda/launch.h"

static __global__ void filter_pack(size_t count, int in, int kernel, int padded, const float *from,
                                   sb_type type, void *to)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    size_t places = (size_t)kernel * (size_t)kernel, channel = i % (size_t)padded,
           place = i / (size_t)padded % places;
    size_t out = i / (size_t)padded / places;
    store(to, type, i, channel < (size_t)in ? from[(out * (size_t)in + channel) * places + place] : 0);
}

static __global__ void filter_unpack(size_t count, int in, int kernel, int padded, sb_type type,
                                     const void *from, float *to)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    size_t places = (size_t)kernel * (size_t)kernel, place = i % places, channel = i / places % (size_t)in,
           out = i / places / (size_t)in;
    to[i] += load(from, type, (out * places + place) * (size_t)padded + channel);
}

static __global__ void channels(size_t count, int from_channels, int to_channels, sb_type type,
                                const void *from, void *to, bool add)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    size_t channel = i % (size_t)to_channels, pixel = i / (size_t)to_channels;
    give(to, type, i,
         channel < (size_t)from_channels ? load(from, type, pixel * (size_t)from_channels + channel) : 0,
         add);
}

int sb_cuda_filter_pack(sb_device *device, int out, int in, int kernel, int padded, const float *from,
                        sb_type type, void *to)
{
    size_t count = (size_t)out * (size_t)kernel * (size_t)kernel * (size_t)padded;
    LAUNCH(filter_pack, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, in, kernel, padded,
           from, type, to);
    return sb_cuda_launched("filter_pack");
}

int sb_cuda_filter_unpack(sb_device *device, int out, int in, int kernel, int padded, sb_type type,
                          const void *from, float *to)
{
    size_t count = (size_t)out * (size_t)in * (size_t)kernel * (size_t)kernel;
    LAUNCH(filter_unpack, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, in, kernel, padded,
           type, from, to);
    return sb_cuda_launched("filter_unpack");
}

int sb_cuda_channels(sb_device *device, size_t pixels, int from_channels, int to_channels, sb_type type,
                     const void *from, void *to, bool add)
{
    size_t count = pixels * (size_t)to_channels;
    LAUNCH(channels, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, from_channels,
           to_channels, type, from, to, add);
    return sb_cuda_launched("channels");
}
