/* gelu.cu: GELU on a GPU. The threads share the rows by shares.h. The distribution function is
 * erfc(-u / sqrt 2) / 2, which, unlike (1 + erf) / 2, keeps its digits on the left, where it is almost 0. */
#include "kernels/cuda/shares.h"
#include "kernels/op/gelu.h"

#define AT_ONCE 2 /* rows that a thread fetches before it uses the first */

static __device__ inline float distribution(float u) { return 0.5f * erfcf(u * -0.70710678118654752f); }

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    gelu_forward(shares d, const void *__restrict__ x, const float *__restrict__ bias, void *__restrict__ y)
{
    span p = my_span<N>(&d);
    if (p.row >= p.end)
        return;
    float offset[N];
    read_weights<N>(bias, p.channel, 0, offset);
    map_rows<T, N, AT_ONCE>(&d, p, x, y, [&](float value, int k) {
        const float u = value + offset[k];
        return u * distribution(u);
    });
}

/* sums: of dx, to be db; NULL: not wanted. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    gelu_backward(shares d, const void *x, const float *bias, const void *dy, void *dx, bool add, float *sums)
{
    span p = my_span<N>(&d);
    float offset[N] = {}, sum[N] = {};
    if (p.row < p.end)
        read_weights<N>(bias, p.channel, 0, offset);
    ROLLED
    for (; p.row < p.end; p.row += d.lanes) {
        const size_t at = vector_at(&d, &p, p.row);
        const vector<T, N> xs = fetch<T, N>(x, at), dys = fetch<T, N>(dy, at);
        vector<T, N> held = {};
        if (dx && add)
            held = fetch<T, N>(dx, at);
        float g[N];
        UNROLLED
        for (int k = 0; k < N; k++) {
            const float u = value_of<T, N>(xs, k) + offset[k],
                        density = expf(u * u * -0.5f) * 0.39894228040143268f; /* 1 / sqrt(2 pi) */
            g[k] = value_of<T, N>(dys, k) * (distribution(u) + u * density);
            sum[k] += g[k];
        }
        if (dx)
            give_values<T, N>(dx, at, g, add, held);
    }
    if (sums)
        write_partial<N>(&d, sum, sums);
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const shares d = shares_of_rows(&c->ys);
    return ((const sb_gelu_how *)c->how)->bias ? partial_sums(&d) * sizeof(float) : 0;
}

static int forward(sb_device *device, const sb_call *c)
{
    const shares d = shares_of_rows(&c->ys);
    with_vectors(c->ys.type, c->ys.c, [&]<sb_type T, int N>() {
        LAUNCH((gelu_forward<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, c->x[0], c->w[0],
               c->y);
    });
    return sb_cuda_launched("gelu_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const shares d = shares_of_rows(&c->ys);
    float *sums = c->dw[0] ? (float *)c->scratch : NULL;
    with_vectors(c->ys.type, c->ys.c, [&]<sb_type T, int N>() {
        LAUNCH((gelu_backward<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, c->x[0], c->w[0],
               c->dy, c->dx[0], c->add[0], sums);
    });
    add_runs(device, &d, sums, NULL, c->dw[0], NULL);
    return sb_cuda_launched("gelu_backward");
}

extern "C" const sb_kernel sb_cuda_gelu = { .scratch = scratch, .forward = forward, .backward = backward };
