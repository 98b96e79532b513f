/* residual.cu: y = x1 + gamma x0 on a GPU. The threads share the rows by shares.h. */
#include "kernels/cuda/shares.h"
#include "kernels/op/residual.h"

#define AT_ONCE 2 /* rows that a thread fetches before it uses the first */

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    residual_forward(shares d, const void *__restrict__ x, const void *__restrict__ r,
                     const float *__restrict__ gamma, void *__restrict__ y)
{
    span p = my_span<N>(&d);
    if (p.row >= p.end)
        return;
    float scale[N];
    read_weights<N>(gamma, p.channel, 1, scale);
    ROLLED
    for (; p.row < p.end; p.row += AT_ONCE * d.lanes) {
        vector<T, N> xs[AT_ONCE] = {}, rs[AT_ONCE] = {};
        next_rows<AT_ONCE>(&d, &p, [&](int i, size_t at) {
            xs[i] = fetch<T, N>(x, at);
            rs[i] = fetch<T, N>(r, at);
        });
        next_rows<AT_ONCE>(&d, &p, [&](int i, size_t at) {
            float value[N];
            UNROLLED
            for (int k = 0; k < N; k++)
                value[k] = value_of<T, N>(rs[i], k) + scale[k] * value_of<T, N>(xs[i], k);
            put<T, N>(y, at, vector_of<T, N>(value));
        });
    }
}

/* sums: of dy x, to be dgamma; NULL: not wanted. x and r may be one tensor, whose gradient is then dr first,
 * and dx is added to that. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    residual_backward(shares d, const void *x, const float *gamma, const void *dy, void *dx, bool add,
                      void *dr, bool add_dr, float *sums)
{
    span p = my_span<N>(&d);
    float scale[N] = {}, sum[N] = {};
    if (p.row < p.end)
        read_weights<N>(gamma, p.channel, 1, scale);
    ROLLED
    for (; p.row < p.end; p.row += d.lanes) {
        const size_t at = vector_at(&d, &p, p.row);
        const vector<T, N> dys = fetch<T, N>(dy, at);
        vector<T, N> xs = {}, held = {}, held_dr = {};
        if (sums)
            xs = fetch<T, N>(x, at);
        if (dr && add_dr)
            held_dr = fetch<T, N>(dr, at);
        if (dx && dx != dr && add)
            held = fetch<T, N>(dx, at);
        float g[N], scaled[N];
        UNROLLED
        for (int k = 0; k < N; k++) {
            const float value = value_of<T, N>(dys, k);
            sum[k] += value * value_of<T, N>(xs, k);
            scaled[k] = scale[k] * value;
            g[k] = add_dr ? value_of<T, N>(held_dr, k) + value : value;
        }
        const vector<T, N> given = vector_of<T, N>(g);
        if (dr && dx != dr)
            put<T, N>(dr, at, given);
        if (dx)
            give_values<T, N>(dx, at, scaled, add, dx == dr ? given : held);
    }
    if (sums)
        write_partial<N>(&d, sum, sums);
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const shares d = shares_of_rows(&c->ys);
    return ((const sb_residual_how *)c->how)->scaled ? partial_sums(&d) * sizeof(float) : 0;
}

static int forward(sb_device *device, const sb_call *c)
{
    const shares d = shares_of_rows(&c->ys);
    with_vectors(c->ys.type, c->ys.c, [&]<sb_type T, int N>() {
        LAUNCH((residual_forward<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, c->x[0],
               c->x[1], c->w[0], c->y);
    });
    return sb_cuda_launched("residual_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const shares d = shares_of_rows(&c->ys);
    float *sums = c->dw[0] ? (float *)c->scratch : NULL;
    void *dr = c->dx[1] == c->dy ? NULL : c->dx[1]; /* over dy: it is there already */
    with_vectors(c->ys.type, c->ys.c, [&]<sb_type T, int N>() {
        LAUNCH((residual_backward<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, c->x[0],
               c->w[0], c->dy, c->dx[0], c->add[0], dr, c->add[1], sums);
    });
    add_runs(device, &d, sums, NULL, c->dw[0], NULL);
    return sb_cuda_launched("residual_backward");
}

extern "C" const sb_kernel sb_cuda_residual = { .scratch = scratch,
                                                .forward = forward,
                                                .backward = backward };
