/* input.cu: 8-bit pixels to normalised activations, on a GPU. A thread writes 16 bytes (vector.h), whatever
 * channels they are of: a block first lays out its channels' numbers so that those of any N neighbours lie
 * side by side. */
#include "kernels/cuda/line.h"
#include "kernels/cuda/vector.h"

/* The channel of value N i, without dividing in 64 bits. */
template <int N> static __device__ inline unsigned channel_of(unsigned c)
{
    return (blockIdx.x % c * (THREADS * N % c) + threadIdx.x * N) % c;
}

template <sb_type T>
static __global__ void normalise(size_t count, unsigned c, cuda_line line, const uint8_t *__restrict__ pixels,
                                 void *__restrict__ x)
{
    constexpr int N = whole_values(T);
    __shared__ float scale[SB_INPUT_CHANNELS_MAX + N], offset[SB_INPUT_CHANNELS_MAX + N];
    if (threadIdx.x < SB_INPUT_CHANNELS_MAX + N) {
        scale[threadIdx.x] = of_channel(line.scale, (int)(threadIdx.x % c));
        offset[threadIdx.x] = of_channel(line.offset, (int)(threadIdx.x % c));
    }
    __syncthreads();
    const size_t i = global_thread(), first = i * N;
    const unsigned channel = channel_of<N>(c);
    if (first + N <= count) {
        const byte_vector<N> bytes = ((const byte_vector<N> *)pixels)[i];
        float value[N];
        UNROLLED
        for (int k = 0; k < N; k++)
            value[k] = (float)byte_of<N>(bytes, k) * scale[channel + (unsigned)k] +
                       offset[channel + (unsigned)k];
        put<T, N>(x, i, vector_of<T, N>(value));
    } else {
        for (unsigned k = 0; first + k < count; k++) /* the end */
            store(x, T, first + k, (float)pixels[first + k] * scale[channel + k] + offset[channel + k]);
    }
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_input_how *how = (const sb_input_how *)c->how;
    const size_t count = sb_shape_elements(&c->xs[0]);
    const cuda_line line = cuda_line_of(how, c->xs[0].c);
    with_vectors(how->type, 1, [&]<sb_type T, int N>() {
        LAUNCH(normalise<T>, blocks_for((count + whole_values(T) - 1) / whole_values(T)), THREADS, 0,
               sb_cuda_compute(device), count, (unsigned)c->xs[0].c, line, (const uint8_t *)c->x[0], c->y);
    });
    return sb_cuda_launched("input");
}

extern "C" const sb_kernel sb_cuda_input = { .forward = forward };
