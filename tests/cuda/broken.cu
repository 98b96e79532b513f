/* broken.cu: kernels that break one rule of sass.py each, and one that breaks none. Never run. */
#include <cuda_runtime.h>

__global__ void narrow_load(const unsigned short *x, uint4 *y)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, bits = x[i];
    y[i] = make_uint4(bits, bits, bits, bits);
}

__global__ void narrow_store(const uint4 *x, unsigned short *y)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = (unsigned short)(x[i].x + x[i].y + x[i].z + x[i].w);
}

/* x and y may be the same memory, so the second load has to wait for the first store. */
__global__ void load_behind_store(const uint4 *x, uint4 *y)
{
    const unsigned i = 2 * (blockIdx.x * blockDim.x + threadIdx.x);
    y[i] = x[i];
    y[i + 1] = x[i + 1];
}

__global__ void double_sum(const float *x, float *y, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += x[i];
    *y = (float)sum;
}

__global__ void long_division(const float *x, float *y, size_t channels)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = x[i / channels];
}

__global__ void sound(const uint4 *__restrict__ x, uint4 *__restrict__ y)
{
    const unsigned i = 2 * (blockIdx.x * blockDim.x + threadIdx.x);
    y[i] = x[i];
    y[i + 1] = x[i + 1];
}
