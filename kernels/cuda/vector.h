/* vector.h: tensors 16 bytes at a time, for GPU kernels that memory bounds: one instruction moves them, where
 * a load of 2 bytes by each thread leaves most of the bandwidth unused. Private to kernels/cuda.
 *
 * Such a kernel is a template over the type T and over N, the values that a thread has at a time: those of 16
 * bytes, or 1 where a row is no whole number of these. Tensors begin at 256 bytes (op.h), so whole rows of
 * 16 bytes are aligned to them; arrays of weights need not be. A thread first fetches all that it reads and
 * then puts what it writes: a load behind a store would wait for it, since a gradient may be written over
 * what it is computed from. For the same reason tensors that may lie over each other are not `__restrict__`.
 * tests/cuda/sass.py holds that what ptxas makes of it does so. */
#ifndef SB_KERNELS_CUDA_VECTOR_H
#define SB_KERNELS_CUDA_VECTOR_H

#include <type_traits>

#include "kernels/cuda/launch.h"

/* ROLLED: a loop whose rounds fetch in batches of their own; unrolled, stores would come before the next
 * loads. UNROLLED: one over a thread's values, which are registers. */
#ifdef __CUDACC__
#define ROLLED _Pragma("unroll 1")
#define UNROLLED _Pragma("unroll")
#else
#define ROLLED
#define UNROLLED
#endif

/* How many values of a type are 16 bytes. */
SB_SHARED constexpr int whole_values(sb_type type) { return type == SB_F32 ? 4 : 8; }

/* N for rows of so many values. */
static inline int values_at_once(sb_type type, int row)
{
    return row % whole_values(type) == 0 ? whole_values(type) : 1;
}

/* N values as they lie in memory. */
template <sb_type T, int N>
using vector = std::conditional_t<N != 1, uint4, std::conditional_t<T == SB_F32, uint32_t, uint16_t>>;

/* The vector of that number, counted in vectors. */
template <sb_type T, int N> static __device__ inline vector<T, N> fetch(const void *x, size_t i)
{
    return ((const vector<T, N> *)x)[i];
}

template <sb_type T, int N> static __device__ inline void put(void *x, size_t i, vector<T, N> bits)
{
    ((vector<T, N> *)x)[i] = bits;
}

/* Word i of four, i known to the compiler. */
static __device__ inline uint32_t word_of(uint4 v, int i)
{
    return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

template <sb_type T> static __device__ inline float of_bits(uint32_t bits)
{
    sb_float_bits v;
    v.u = bits;
    return T == SB_F32 ? v.f : T == SB_BF16 ? sb_from_bf16((uint16_t)bits) : sb_from_f16((uint16_t)bits);
}

template <sb_type T> static __device__ inline uint32_t to_bits(float value)
{
    sb_float_bits v;
    v.f = value;
    return T == SB_F32 ? v.u : T == SB_BF16 ? sb_to_bf16(value) : sb_to_f16(value);
}

/* Value k of a vector. */
template <sb_type T, int N> static __device__ inline float value_of(vector<T, N> bits, int k)
{
    if constexpr (N == 1)
        return of_bits<T>(bits);
    else if constexpr (T == SB_F32)
        return of_bits<T>(word_of(bits, k));
    else
        return of_bits<T>(k % 2 == 0 ? word_of(bits, k / 2) & 0xFFFF : word_of(bits, k / 2) >> 16);
}

template <sb_type T, int N> static __device__ inline vector<T, N> vector_of(const float value[N])
{
    if constexpr (N == 1) {
        return (vector<T, N>)to_bits<T>(value[0]);
    } else if constexpr (T == SB_F32) {
        return make_uint4(to_bits<T>(value[0]), to_bits<T>(value[1]), to_bits<T>(value[2]),
                          to_bits<T>(value[3]));
    } else {
        uint32_t w[4];
        UNROLLED
        for (int i = 0; i < 4; i++)
            w[i] = to_bits<T>(value[2 * i]) | to_bits<T>(value[2 * i + 1]) << 16;
        return make_uint4(w[0], w[1], w[2], w[3]);
    }
}

/* N of an array in f32 that begins anywhere: of weights. */
template <int N> static __device__ inline void read_floats(const float *x, float out[N])
{
    UNROLLED
    for (int k = 0; k < N; k++)
        out[k] = x[k];
}

/* N of a tensor in f32, from vector number i of another type's N on. */
template <int N> static __device__ inline void read_tensor(const float *x, size_t i, float out[N])
{
    if constexpr (N == 1) {
        out[0] = x[i];
    } else {
        UNROLLED
        for (int k = 0; k < N; k += 4) {
            const float4 v = ((const float4 *)x)[i * (N / 4) + (size_t)(k / 4)];
            out[k] = v.x;
            out[k + 1] = v.y;
            out[k + 2] = v.z;
            out[k + 3] = v.w;
        }
    }
}

template <int N> static __device__ inline void write_tensor(float *x, size_t i, const float value[N])
{
    if constexpr (N == 1) {
        x[i] = value[0];
    } else {
        UNROLLED
        for (int k = 0; k < N; k += 4)
            put<SB_F32, 4>(x, i * (N / 4) + (size_t)(k / 4), vector_of<SB_F32, 4>(value + k));
    }
}

/* The sum over a block in f32, in its first thread: pairs within a warp, then the warps in order. `parts` is
 * shared memory, free again after the caller's next barrier. All threads of the block take part. */
static __device__ inline float quick_sum(float value, float parts[THREADS / WARP])
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
    if (threadIdx.x % WARP == 0)
        parts[threadIdx.x / WARP] = value;
    __syncthreads();
    for (int w = 1; w < THREADS / WARP && threadIdx.x == 0; w++)
        value += parts[w];
    return value;
}

/* The grid in which a thread has a vector of an image (or of another group of rows): the blocks of an image
 * lie together, so that 32 bits count what is in one. */
typedef struct {
    unsigned vectors, blocks; /* of an image */
} image_grid;

static inline int image_grid_of(const char *kernel, int images, size_t vectors, image_grid *out)
{
    const size_t blocks = (vectors + THREADS - 1) / THREADS;
    if (vectors > UINT32_MAX - THREADS || blocks * (size_t)images > INT32_MAX)
        return sb_fail("%s: %d images of %zu times 16 bytes are more than a launch counts", kernel, images,
                       vectors);
    out->vectors = (unsigned)vectors;
    out->blocks = (unsigned)blocks;
    return 0;
}

static inline size_t vectors_of_image(const sb_shape *s)
{
    return (size_t)s->h * (size_t)s->w * (size_t)(s->c / values_at_once(s->type, s->c));
}

/* The image of this block, and this thread's vector in it. */
static __device__ inline unsigned my_image(image_grid g) { return blockIdx.x / g.blocks; }
static __device__ inline unsigned my_vector(image_grid g)
{
    return blockIdx.x % g.blocks * THREADS + threadIdx.x;
}

/* N bytes that belong to N values. */
template <int N>
using byte_vector = std::conditional_t<N == 1, uint8_t, std::conditional_t<N == 4, uint32_t, uint2>>;

template <int N> static __device__ inline unsigned byte_of(byte_vector<N> bytes, int k)
{
    if constexpr (N == 8)
        return (k < 4 ? bytes.x : bytes.y) >> k % 4 * 8 & 0xFF;
    else
        return (unsigned)bytes >> k * 8 & 0xFF;
}

template <int N> static __device__ inline byte_vector<N> bytes_of(const unsigned value[N])
{
    if constexpr (N == 8)
        return make_uint2(value[0] | value[1] << 8 | value[2] << 16 | value[3] << 24,
                          value[4] | value[5] << 8 | value[6] << 16 | value[7] << 24);
    else if constexpr (N == 4)
        return value[0] | value[1] << 8 | value[2] << 16 | value[3] << 24;
    else
        return (uint8_t)value[0];
}

/* N values of a gradient: written, or added to what an earlier consumer wrote (`held`). */
template <sb_type T, int N>
static __device__ inline void give_values(void *dx, size_t i, float value[N], bool add, vector<T, N> held)
{
    UNROLLED
    for (int k = 0; k < N && add; k++)
        value[k] += value_of<T, N>(held, k);
    put<T, N>(dx, i, vector_of<T, N>(value));
}

/* Arrays of f32, value by value, by a thread for each 16 bytes: calls f<4>(i) for the vector of this thread,
 * or, at the end, f<1>(i) for each value that is left. */
template <typename F> static __device__ inline void by_fours(size_t count, F f)
{
    const size_t i = global_thread();
    if (4 * i + 4 <= count) {
        f.template operator()<4>(i);
    } else {
        ROLLED
        for (size_t k = 4 * i; k < count; k++)
            f.template operator()<1>(k);
    }
}

/* Calls f<T, N>() for the type and for rows of so many values. */
template <typename F> static inline void with_vectors(sb_type type, int row, F f)
{
    const bool whole = values_at_once(type, row) > 1;
    if (type == SB_F32)
        whole ? f.template operator()<SB_F32, 4>() : f.template operator()<SB_F32, 1>();
    else if (type == SB_BF16)
        whole ? f.template operator()<SB_BF16, 8>() : f.template operator()<SB_BF16, 1>();
    else
        whole ? f.template operator()<SB_F16, 8>() : f.template operator()<SB_F16, 1>();
}

#endif
