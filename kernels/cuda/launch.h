/* launch.h: what the .cu files share: the one way to launch a kernel, element access, sums over a warp.
 *
 * nvcc expands LAUNCH to <<<>>>. The emulated device (tests/emulated) compiles the same files with g++ and
 * defines LAUNCH itself. */
#ifndef SB_KERNELS_CUDA_LAUNCH_H
#define SB_KERNELS_CUDA_LAUNCH_H

#include <math.h>
#include <vector_functions.h>

#include "kernels/share/half.h"
#include "kernels/cuda/cuda.h"

#ifdef __CUDACC__
#define LAUNCH(kernel, grid, block, shared, stream, ...) kernel<<<grid, block, shared, stream>>>(__VA_ARGS__)
#endif

#define WARP 32
#define THREADS 256 /* of a block, in every kernel that has no reason for another number */

/* Blocks of THREADS that cover `count` elements; kernels check their index. */
static inline unsigned blocks_for(size_t count)
{
    return count == 0 ? 1 : (unsigned)((count + THREADS - 1) / THREADS);
}

static __device__ inline size_t global_thread(void) { return (size_t)blockIdx.x * blockDim.x + threadIdx.x; }

/* Element i of an array of `type`. The branch is the same for all threads. */
static __device__ inline float load(const void *x, sb_type type, size_t i)
{
    if (type == SB_F32)
        return ((const float *)x)[i];
    const uint16_t bits = ((const uint16_t *)x)[i];
    return type == SB_BF16 ? sb_from_bf16(bits) : sb_from_f16(bits);
}

static __device__ inline void store(void *x, sb_type type, size_t i, float value)
{
    if (type == SB_F32)
        ((float *)x)[i] = value;
    else
        ((uint16_t *)x)[i] = type == SB_BF16 ? sb_to_bf16(value) : sb_to_f16(value);
}

/* Element i of a gradient: written, or added to what an earlier consumer wrote. */
static __device__ inline void give(void *dx, sb_type type, size_t i, float value, bool add)
{
    store(dx, type, i, add ? load(dx, type, i) + value : value);
}

/* Sum over a warp, the same bits in every lane: a + b = b + a at each exchange. All 32 lanes take part. */
static __device__ inline double warp_sum(double value)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
    return value;
}

/* <a, b> in f64, the same bits in every lane of the calling warp. */
static __device__ inline double warp_dot(const float *a, const float *b, int columns)
{
    double sum = 0;
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP)
        sum += (double)a[c] * b[c];
    return warp_sum(sum);
}

/* The largest value of a block of THREADS, in every thread. `parts` as of block_sum. */
static __device__ inline float block_max(float value, float parts[THREADS / WARP])
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, distance));
    if (threadIdx.x % WARP == 0)
        parts[threadIdx.x / WARP] = value;
    __syncthreads();
    for (int w = 0; w < THREADS / WARP; w++)
        value = fmaxf(value, parts[w]);
    return value;
}

/* Sum over a block of THREADS, returned to every thread: warps are added in order. `parts` is shared memory,
 * free again after the caller's next barrier. */
static __device__ inline double block_sum(double value, double parts[THREADS / WARP])
{
    value = warp_sum(value);
    if (threadIdx.x % WARP == 0)
        parts[threadIdx.x / WARP] = value;
    __syncthreads();
    double sum = 0;
    for (int w = 0; w < THREADS / WARP; w++)
        sum += parts[w];
    return sum;
}

#endif
