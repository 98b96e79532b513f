/* layernorm.cu: layer normalisation on a GPU.
 *
 * `lanes` threads of a warp, a power of two, share a row, and a warp has DEPTH times the rows that lie side
 * by side in it: it reads their gamma and beta once. For each sum it reads its rows again: they stay in the
 * cache. Gradients of weights are a pass of their own, by shares.h, in front of the one that gives dx, which
 * may lie over what both read. */
#include "kernels/cuda/shares.h"
#include "kernels/op/layernorm.h"

#define FORWARD_DEPTH 4
#define BACKWARD_DEPTH 2 /* of x and dy */

/* How warps share [rows, vectors]. */
typedef struct {
    int rows, channels, vectors;
    int lanes, side; /* of a row; rows side by side in a warp */
} row_shares;

static row_shares row_shares_of(const sb_shape *s)
{
    row_shares d = { (int)sb_shape_rows(s), s->c, s->c / values_at_once(s->type, s->c), 1, WARP };
    for (; d.lanes < d.vectors && d.lanes < WARP; d.lanes *= 2)
        d.side /= 2;
    return d;
}

static unsigned blocks_of_rows(const row_shares *d, int depth)
{
    const int rows = THREADS / d->lanes * depth;
    return (unsigned)((d->rows - 1) / rows + 1);
}

/* A thread's first of DEPTH rows, which are `side` apart (those >= rows do not exist), and its first vector
 * in each, then column + lanes, ... */
typedef struct {
    int row, column;
} row_span;

template <int DEPTH> static __device__ inline row_span my_rows(const row_shares *d)
{
    const int t = (int)threadIdx.x, warp = (int)blockIdx.x * (THREADS / WARP) + t / WARP, lane = t % WARP;
    return { warp * d->side * DEPTH + lane / d->lanes, lane % d->lanes };
}

static __device__ inline size_t vector_at(const row_shares *d, int row, int column)
{
    return (size_t)row * (size_t)d->vectors + (size_t)column;
}

/* The mean over a row, of its lanes' parts, the same bits in each of them. All lanes of a warp take part. */
static __device__ inline float row_mean(const row_shares *d, float value)
{
    for (int distance = d->lanes / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
    return value / (float)d->channels;
}

/* Column v of a thread's rows; of rows that do not exist, zeros. */
template <sb_type T, int N, int DEPTH>
static __device__ inline void fetch_rows(const row_shares *d, row_span p, int v, const void *x,
                                         vector<T, N> out[DEPTH])
{
    UNROLLED
    for (int i = 0; i < DEPTH; i++)
        out[i] = p.row + i * d->side < d->rows ? fetch<T, N>(x, vector_at(d, p.row + i * d->side, v))
                                               : vector<T, N>{};
}

/* For each of a thread's rows i the mean of f(value, i) over its channels, by row_mean. */
template <sb_type T, int N, int DEPTH, typename F>
static __device__ inline void row_means(const row_shares *d, row_span p, const void *x, float out[DEPTH], F f)
{
    UNROLLED
    for (int i = 0; i < DEPTH; i++)
        out[i] = 0;
    ROLLED
    for (int v = p.column; v < d->vectors; v += d->lanes) {
        vector<T, N> xs[DEPTH];
        fetch_rows<T, N, DEPTH>(d, p, v, x, xs);
        UNROLLED
        for (int i = 0; i < DEPTH; i++)
            UNROLLED
        for (int k = 0; k < N; k++)
            out[i] += f(value_of<T, N>(xs[i], k), i);
    }
    UNROLLED
    for (int i = 0; i < DEPTH; i++)
        out[i] = row_mean(d, out[i]);
}

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    layernorm_forward(row_shares d, float epsilon, const void *__restrict__ x,
                      const float *__restrict__ gamma, const float *__restrict__ beta, void *__restrict__ y,
                      float2 *__restrict__ statistics)
{
    constexpr int DEPTH = FORWARD_DEPTH;
    const row_span p = my_rows<DEPTH>(&d);
    vector<T, N> xs[DEPTH];
    float mean[DEPTH], inverse[DEPTH];
    row_means<T, N, DEPTH>(&d, p, x, mean, [](float value, int) { return value; });
    row_means<T, N, DEPTH>(&d, p, x, inverse, [&](float value, int i) {
        const float off = value - mean[i];
        return off * off;
    });
    UNROLLED
    for (int i = 0; i < DEPTH; i++)
        inverse[i] = 1.0f / sqrtf(inverse[i] + epsilon);
    ROLLED
    for (int v = p.column; v < d.vectors; v += d.lanes) {
        float scale[N], offset[N];
        fetch_rows<T, N, DEPTH>(&d, p, v, x, xs);
        read_weights<N>(gamma, v * N, 1, scale);
        read_weights<N>(beta, v * N, 0, offset);
        UNROLLED
        for (int i = 0; i < DEPTH; i++) {
            float value[N];
            UNROLLED
            for (int k = 0; k < N; k++)
                value[k] = (value_of<T, N>(xs[i], k) - mean[i]) * inverse[i] * scale[k] + offset[k];
            if (p.row + i * d.side < d.rows)
                put<T, N>(y, vector_at(&d, p.row + i * d.side, v), vector_of<T, N>(value));
        }
    }
    UNROLLED
    for (int i = 0; i < DEPTH; i++)
        if (statistics && p.column == 0 && p.row + i * d.side < d.rows)
            statistics[p.row + i * d.side] = make_float2(mean[i], inverse[i]);
}

/* products: of dy xhat; sums: of dy. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    layernorm_weights(shares d, const void *__restrict__ x, const void *__restrict__ dy,
                      const float2 *__restrict__ statistics, float *__restrict__ products,
                      float *__restrict__ sums)
{
    span p = my_span<N>(&d);
    float product[N] = {}, sum[N] = {};
    ROLLED
    for (; p.row < p.end; p.row += BACKWARD_DEPTH * d.lanes) {
        vector<T, N> xs[BACKWARD_DEPTH] = {}, dys[BACKWARD_DEPTH] = {}; /* zeros, where there is none */
        float2 own[BACKWARD_DEPTH] = {};
        next_rows<BACKWARD_DEPTH>(&d, &p, [&](int i, size_t at) {
            xs[i] = fetch<T, N>(x, at);
            dys[i] = fetch<T, N>(dy, at);
            own[i] = statistics[p.row + i * d.lanes];
        });
        UNROLLED
        for (int i = 0; i < BACKWARD_DEPTH; i++)
            UNROLLED
        for (int k = 0; k < N; k++) {
            const float g = value_of<T, N>(dys[i], k);
            product[k] += g * ((value_of<T, N>(xs[i], k) - own[i].x) * own[i].y);
            sum[k] += g;
        }
    }
    write_partial<N>(&d, product, products);
    write_partial<N>(&d, sum, sums);
}

/* dx = inverse (g - mean(g) - xhat mean(g xhat)), with g = gamma dy and means over the row. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    layernorm_backward(row_shares d, const void *x, const float *__restrict__ gamma,
                       const float2 *__restrict__ statistics, const void *dy, void *dx, bool add)
{
    constexpr int DEPTH = BACKWARD_DEPTH;
    const row_span p = my_rows<DEPTH>(&d);
    vector<T, N> xs[DEPTH], dys[DEPTH], held[DEPTH] = {};
    float2 own[DEPTH] = {};
    float all[DEPTH] = {}, along[DEPTH] = {}, scale[N];
    UNROLLED
    for (int i = 0; i < DEPTH; i++)
        if (p.row + i * d.side < d.rows)
            own[i] = statistics[p.row + i * d.side];
    ROLLED
    for (int v = p.column; v < d.vectors; v += d.lanes) {
        fetch_rows<T, N, DEPTH>(&d, p, v, x, xs);
        fetch_rows<T, N, DEPTH>(&d, p, v, dy, dys);
        read_weights<N>(gamma, v * N, 1, scale);
        UNROLLED
        for (int i = 0; i < DEPTH; i++)
            UNROLLED
        for (int k = 0; k < N; k++) {
            const float g = value_of<T, N>(dys[i], k) * scale[k];
            all[i] += g;
            along[i] += g * ((value_of<T, N>(xs[i], k) - own[i].x) * own[i].y);
        }
    }
    UNROLLED
    for (int i = 0; i < DEPTH; i++) {
        all[i] = row_mean(&d, all[i]);
        along[i] = row_mean(&d, along[i]);
    }
    ROLLED
    for (int v = p.column; v < d.vectors; v += d.lanes) {
        fetch_rows<T, N, DEPTH>(&d, p, v, x, xs);
        fetch_rows<T, N, DEPTH>(&d, p, v, dy, dys);
        if (add)
            fetch_rows<T, N, DEPTH>(&d, p, v, dx, held);
        read_weights<N>(gamma, v * N, 1, scale);
        UNROLLED
        for (int i = 0; i < DEPTH; i++) {
            float value[N];
            UNROLLED
            for (int k = 0; k < N; k++) {
                const float normal = (value_of<T, N>(xs[i], k) - own[i].x) * own[i].y;
                value[k] = own[i].y * (value_of<T, N>(dys[i], k) * scale[k] - all[i] - normal * along[i]);
            }
            if (p.row + i * d.side < d.rows)
                give_values<T, N>(dx, vector_at(&d, p.row + i * d.side, v), value, add, held[i]);
        }
    }
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const shares d = shares_of_rows(&c->ys);
    return 2 * partial_sums(&d) * sizeof(float);
}

static int forward(sb_device *device, const sb_call *c)
{
    const row_shares d = row_shares_of(&c->ys);
    with_vectors(c->ys.type, c->ys.c, [&]<sb_type T, int N>() {
        LAUNCH((layernorm_forward<T, N>), blocks_of_rows(&d, FORWARD_DEPTH), THREADS, 0,
               sb_cuda_compute(device), d, ((const sb_layernorm_how *)c->how)->epsilon, c->x[0], c->w[0],
               c->w[1], c->y, (float2 *)c->aux);
    });
    return sb_cuda_launched("layernorm_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const shares d = shares_of_rows(&c->ys);
    const row_shares rows = row_shares_of(&c->ys);
    const float2 *statistics = (const float2 *)c->aux;
    float *products = (float *)c->scratch, *sums = products + partial_sums(&d);
    with_vectors(c->ys.type, c->ys.c, [&]<sb_type T, int N>() {
        if (c->dw[0] || c->dw[1])
            LAUNCH((layernorm_weights<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, c->x[0],
                   c->dy, statistics, products, sums);
        add_runs(device, &d, products, sums, c->dw[0], c->dw[1]);
        if (c->dx[0])
            LAUNCH((layernorm_backward<T, N>), blocks_of_rows(&rows, BACKWARD_DEPTH), THREADS, 0,
                   sb_cuda_compute(device), rows, c->x[0], c->w[0], statistics, c->dy, c->dx[0], c->add[0]);
    });
    return sb_cuda_launched("layernorm_backward");
}

extern "C" const sb_kernel sb_cuda_layernorm = { .scratch = scratch,
                                                 .forward = forward,
                                                 .backward = backward };
