/* layout.cu: see layout.h. */
#include "kernels/cuda/layout.h"

#include "kernels/cuda/vector.h"

#define AT_ONCE 4 /* weights of a thread */

/* A thread: N channels of a place of a filter. */
template <sb_type T, int N>
static __global__ void filter_pack(unsigned count, int in, unsigned places, unsigned vectors,
                                   const float *__restrict__ from, void *__restrict__ to)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= count)
        return;
    const int channel = (int)(i % vectors) * N;
    const unsigned place = i / vectors % places, out = i / vectors / places;
    const float *filter = from + ((size_t)out * (size_t)in + (size_t)channel) * places + place;
    float value[N];
    UNROLLED
    for (int k = 0; k < N; k++)
        value[k] = channel + k < in ? filter[(size_t)k * places] : 0;
    put<T, N>(to, i, vector_of<T, N>(value));
}

/* A thread: AT_ONCE weights, those of a warp side by side. They are read and written as they lie, since
 * weights begin anywhere; their gradients are gathered. */
template <sb_type T>
static __global__ void filter_unpack(unsigned count, unsigned in, unsigned places, unsigned padded,
                                     const void *__restrict__ from, float *__restrict__ to)
{
    const unsigned first = blockIdx.x * (AT_ONCE * THREADS) + threadIdx.x;
    float value[AT_ONCE] = {};
    UNROLLED
    for (unsigned k = 0; k < AT_ONCE; k++) {
        const unsigned i = first + k * THREADS, place = i % places, channel = i / places % in,
                       out = i / places / in;
        if (i < count)
            value[k] = to[i] + load(from, T, ((size_t)out * places + place) * padded + channel);
    }
    UNROLLED
    for (unsigned k = 0; k < AT_ONCE; k++)
        if (first + k * THREADS < count)
            to[first + k * THREADS] = value[k];
}

/* A thread: N channels of a pixel of `to`. */
template <sb_type T, int N>
static __global__ void channels(unsigned count, unsigned vectors, int from_channels,
                                const void *__restrict__ from, void *__restrict__ to, bool add)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= count)
        return;
    const int channel = (int)(i % vectors) * N;
    const size_t pixel = (size_t)(i / vectors) * (size_t)from_channels;
    vector<T, N> held = {};
    float value[N];
    if (add)
        held = fetch<T, N>(to, i);
    UNROLLED
    for (int k = 0; k < N; k++)
        value[k] = channel + k < from_channels ? load(from, T, pixel + (size_t)(channel + k)) : 0;
    give_values<T, N>(to, i, value, add, held);
}

/* 32 bits count the threads of a launch. */
static int check_count(const char *name, size_t count)
{
    return count <= INT32_MAX ? 0
                              : sb_fail("%s: %zu times 16 bytes are more than a launch counts", name, count);
}

int sb_cuda_filter_pack(sb_device *device, int out, int in, int kernel, int padded, const float *from,
                        sb_type type, void *to)
{
    const unsigned places = (unsigned)kernel * (unsigned)kernel,
                   vectors = (unsigned)(padded / values_at_once(type, padded));
    const size_t count = (size_t)out * places * vectors;
    if (check_count("filter_pack", count) != 0)
        return -1;
    with_vectors(type, padded, [&]<sb_type T, int N>() {
        LAUNCH((filter_pack<T, N>), blocks_for(count), THREADS, 0, sb_cuda_compute(device), (unsigned)count,
               in, places, vectors, from, to);
    });
    return sb_cuda_launched("filter_pack");
}

int sb_cuda_filter_unpack(sb_device *device, int out, int in, int kernel, int padded, sb_type type,
                          const void *from, float *to)
{
    const unsigned places = (unsigned)kernel * (unsigned)kernel;
    const size_t count = (size_t)out * (size_t)in * places;
    if (check_count("filter_unpack", count) != 0)
        return -1;
    with_vectors(type, padded, [&]<sb_type T, int N>() {
        LAUNCH(filter_unpack<T>, blocks_for((count + AT_ONCE - 1) / AT_ONCE), THREADS, 0,
               sb_cuda_compute(device), (unsigned)count, (unsigned)in, places, (unsigned)padded, from, to);
    });
    return sb_cuda_launched("filter_unpack");
}

int sb_cuda_channels(sb_device *device, size_t pixels, int from_channels, int to_channels, sb_type type,
                     const void *from, void *to, bool add)
{
    const unsigned vectors = (unsigned)(to_channels / values_at_once(type, to_channels));
    const size_t count = pixels * vectors;
    if (check_count("channels", count) != 0)
        return -1;
    with_vectors(type, to_channels, [&]<sb_type T, int N>() {
        LAUNCH((channels<T, N>), blocks_for(count), THREADS, 0, sb_cuda_compute(device), (unsigned)count,
               vectors, from_channels, from, to, add);
    });
    return sb_cuda_launched("channels");
}
