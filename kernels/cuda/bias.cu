/* bias.cu: see bias.h. The threads share the rows by shares.h. */
#include "kernels/cuda/bias.h"

#include "kernels/cuda/shares.h"

#define AT_ONCE 4 /* rows that a thread fetches before it uses the first */

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    bias_add(shares d, const float *__restrict__ bias, void *__restrict__ y)
{
    span p = my_span<N>(&d);
    if (p.row >= p.end)
        return;
    float offset[N];
    read_weights<N>(bias, p.channel, 0, offset);
    map_rows<T, N, AT_ONCE>(&d, p, y, y, [&](float value, int k) { return value + offset[k]; });
}

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    bias_sums(shares d, const void *__restrict__ dy, float *__restrict__ sums)
{
    span p = my_span<N>(&d);
    float sum[N] = {};
    ROLLED
    for (; p.row < p.end; p.row += AT_ONCE * d.lanes) {
        vector<T, N> rows[AT_ONCE] = {}; /* zeros, where there is none */
        next_rows<AT_ONCE>(&d, &p, [&](int i, size_t at) { rows[i] = fetch<T, N>(dy, at); });
        UNROLLED
        for (int i = 0; i < AT_ONCE; i++)
            UNROLLED
        for (int k = 0; k < N; k++)
            sum[k] += value_of<T, N>(rows[i], k);
    }
    write_partial<N>(&d, sum, sums);
}

int sb_cuda_bias_add(sb_device *device, const sb_shape *y, const float *bias, void *values)
{
    const shares d = shares_of_rows(y);
    with_vectors(y->type, y->c, [&]<sb_type T, int N>() {
        LAUNCH((bias_add<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, bias, values);
    });
    return sb_cuda_launched("bias_add");
}

size_t sb_cuda_bias_scratch(const sb_shape *y)
{
    const shares d = shares_of_rows(y);
    return partial_sums(&d) * sizeof(float);
}

int sb_cuda_bias_back(sb_device *device, const sb_shape *y, const void *dy, float *dbias, void *scratch)
{
    const shares d = shares_of_rows(y);
    float *sums = (float *)scratch;
    with_vectors(y->type, y->c, [&]<sb_type T, int N>() {
        LAUNCH((bias_sums<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, dy, sums);
    });
    add_runs(device, &d, sums, NULL, dbias, NULL);
    return sb_cuda_launched("bias_sums");
}
