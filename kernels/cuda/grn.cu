/* grn.cu: global response normalisation on a GPU. The threads share the rows by shares.h, an image being a
 * set. One block for each image adds its partial sums up in f64 and makes factors of them; a pass over rows
 * is left. */
#include "kernels/cuda/shares.h"
#include "kernels/op/grn.h"

#define AT_ONCE 2 /* rows that a thread fetches before it uses the first */

static size_t matrix(const sb_call *c) { return (size_t)c->xs[0].n * (size_t)c->xs[0].c; }

/* Of each image and run, the sums of a b, and those of a where `plain` is wanted: [n, runs, c]. */
template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    grn_sums(shares d, const void *__restrict__ a, const void *__restrict__ b, float *__restrict__ products,
             float *__restrict__ plain)
{
    span p = my_span<N>(&d);
    float product[N] = {}, sum[N] = {};
    ROLLED
    for (; p.row < p.end; p.row += AT_ONCE * d.lanes) {
        vector<T, N> as[AT_ONCE] = {}, bs[AT_ONCE] = {}; /* zeros, where there is none */
        next_rows<AT_ONCE>(&d, &p, [&](int i, size_t at) {
            as[i] = fetch<T, N>(a, at);
            bs[i] = fetch<T, N>(b, at);
        });
        UNROLLED
        for (int i = 0; i < AT_ONCE; i++)
            UNROLLED
        for (int k = 0; k < N; k++) {
            const float value = value_of<T, N>(as[i], k);
            product[k] += value * value_of<T, N>(bs[i], k);
            sum[k] += value;
        }
    }
    write_partial<N>(&d, product, products);
    if (plain)
        write_partial<N>(&d, sum, plain);
}

/* The runs of channel k of an image, added up. */
static __device__ double folded(const shares *d, const float *sums, int image, int k)
{
    double sum = 0;
    for (int run = 0; run < d->runs; run++)
        sum += sums[place(d, image * d->runs + run, k)];
    return sum;
}

/* A block for each image: lengths, to aux (NULL: nowhere), and factors [n, c]. */
static __global__ void grn_lengths(shares d, float epsilon, const float *squares, const float *gamma,
                                   float *aux, float *factors)
{
    __shared__ double parts[THREADS / WARP];
    const int image = (int)blockIdx.x, channels = d.channels;
    float *mine = factors + place(&d, image, 0);
    double sum = 0;
    for (int k = (int)threadIdx.x; k < channels; k += THREADS) {
        mine[k] = (float)sqrt(folded(&d, squares, image, k));
        sum += mine[k];
    }
    float mean = (float)(block_sum(sum, parts) / channels) + epsilon;
    for (int k = (int)threadIdx.x; k < channels; k += THREADS) {
        float length = mine[k];
        mine[k] = 1 + gamma[k] * (length / mean);
        if (aux)
            aux[(size_t)image * (size_t)(channels + 1) + (size_t)k] = length;
    }
    if (aux && threadIdx.x == 0)
        aux[(size_t)image * (size_t)(channels + 1) + (size_t)channels] = mean;
}

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    grn_forward(shares d, const void *__restrict__ x, const float *__restrict__ factors,
                const float *__restrict__ beta, void *__restrict__ y)
{
    span p = my_span<N>(&d);
    if (p.row >= p.end)
        return;
    float scale[N], offset[N];
    read_floats<N>(factors + place(&d, p.set, p.channel), scale);
    read_weights<N>(beta, p.channel, 0, offset);
    map_rows<T, N, AT_ONCE>(&d, p, x, y, [&](float value, int k) { return value * scale[k] + offset[k]; });
}

/* A block for each image: what dy and x of a place are multiplied by, and D (grn.h): [n, c] each. */
static __global__ void grn_factors(shares d, const float *products, const float *gamma, const float *aux,
                                   double *folded_products, float *factors, float *of_x)
{
    __shared__ double parts[THREADS / WARP];
    const int image = (int)blockIdx.x, channels = d.channels;
    const size_t at = place(&d, image, 0);
    const float *lengths = aux + (size_t)image * (size_t)(channels + 1);
    double mean = lengths[channels], sum = 0;
    for (int k = (int)threadIdx.x; k < channels; k += THREADS) {
        double product = folded(&d, products, image, k);
        folded_products[at + (size_t)k] = product;
        sum += (double)gamma[k] * (double)lengths[k] * product;
    }
    double other = block_sum(sum, parts) / (channels * mean * mean);
    for (int k = (int)threadIdx.x; k < channels; k += THREADS) {
        double product = folded_products[at + (size_t)k];
        factors[at + (size_t)k] = 1 + gamma[k] * (lengths[k] / lengths[channels]);
        of_x[at + (size_t)k] = lengths[k] == 0 ? 0
                                               : (float)(((double)gamma[k] * product / mean - other) /
                                                         (double)lengths[k]);
    }
}

static __global__ void grn_dgamma(shares d, const double *folded_products, const float *aux, float *dgamma)
{
    int k = (int)global_thread();
    if (k >= d.channels)
        return;
    double product = 0;
    for (int i = 0; i < d.sets; i++) {
        const float *lengths = aux + (size_t)i * (size_t)(d.channels + 1);
        product += folded_products[place(&d, i, k)] * (double)(lengths[k] / lengths[d.channels]);
    }
    dgamma[k] += (float)product;
}

template <sb_type T, int N>
static __global__ void __launch_bounds__(THREADS, 4)
    grn_backward(shares d, const void *x, const void *dy, const float *__restrict__ factors,
                 const float *__restrict__ of_x, void *dx, bool add)
{
    span p = my_span<N>(&d);
    if (p.row >= p.end)
        return;
    float from_dy[N], from_x[N];
    read_floats<N>(factors + place(&d, p.set, p.channel), from_dy);
    read_floats<N>(of_x + place(&d, p.set, p.channel), from_x);
    ROLLED
    for (; p.row < p.end; p.row += d.lanes) {
        const size_t at = vector_at(&d, &p, p.row);
        const vector<T, N> xs = fetch<T, N>(x, at), dys = fetch<T, N>(dy, at);
        vector<T, N> held = {};
        if (add)
            held = fetch<T, N>(dx, at);
        float value[N];
        UNROLLED
        for (int k = 0; k < N; k++)
            value[k] = value_of<T, N>(dys, k) * from_dy[k] + value_of<T, N>(xs, k) * from_x[k];
        give_values<T, N>(dx, at, value, add, held);
    }
}

/* Scratch: D, [n, c]; factors, [n, c], twice; partial sums, twice. */
typedef struct {
    double *folded_products;
    float *factors, *of_x, *products, *plain;
} work;

static work lay_out_work(const sb_call *c, void *memory)
{
    const shares d = shares_of_images(&c->xs[0]);
    work w;
    w.folded_products = (double *)memory;
    w.factors = (float *)(w.folded_products + matrix(c));
    w.of_x = w.factors + matrix(c);
    w.products = w.of_x + matrix(c);
    w.plain = w.products + partial_sums(&d);
    return w;
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    const shares d = shares_of_images(&c->xs[0]);
    return matrix(c) * (sizeof(double) + 2 * sizeof(float)) + 2 * partial_sums(&d) * sizeof(float);
}

static int forward(sb_device *device, const sb_call *c)
{
    const shares d = shares_of_images(&c->xs[0]);
    const work w = lay_out_work(c, c->scratch);
    with_vectors(c->ys.type, c->ys.c, [&]<sb_type T, int N>() {
        LAUNCH((grn_sums<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, c->x[0], c->x[0],
               w.products, (float *)NULL);
        LAUNCH(grn_lengths, (unsigned)d.sets, THREADS, 0, sb_cuda_compute(device), d,
               ((const sb_grn_how *)c->how)->epsilon, w.products, c->w[0], (float *)c->aux, w.factors);
        LAUNCH((grn_forward<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, c->x[0], w.factors,
               c->w[1], c->y);
    });
    return sb_cuda_launched("grn_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const shares d = shares_of_images(&c->xs[0]);
    const work w = lay_out_work(c, c->scratch);
    const float *aux = (const float *)c->aux;
    with_vectors(c->ys.type, c->ys.c, [&]<sb_type T, int N>() {
        LAUNCH((grn_sums<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, c->dy, c->x[0],
               w.products, w.plain);
        LAUNCH(grn_factors, (unsigned)d.sets, THREADS, 0, sb_cuda_compute(device), d, w.products, c->w[0],
               aux, w.folded_products, w.factors, w.of_x);
        if (c->dw[0])
            LAUNCH(grn_dgamma, blocks_for((size_t)d.channels), THREADS, 0, sb_cuda_compute(device), d,
                   w.folded_products, aux, c->dw[0]);
        add_runs(device, &d, w.plain, NULL, c->dw[1], NULL);
        if (c->dx[0])
            LAUNCH((grn_backward<T, N>), blocks_of(&d), THREADS, 0, sb_cuda_compute(device), d, c->x[0],
                   c->dy, w.factors, w.of_x, c->dx[0], c->add[0]);
    });
    return sb_cuda_launched("grn_backward");
}

extern "C" const sb_kernel sb_cuda_grn = { .scratch = scratch, .forward = forward, .backward = backward };
