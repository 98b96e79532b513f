/* grn.cu: global response normalisation on a GPU. Sums over the places of an image go by tiles of that image
 * (blocks' z), which are added in order and in f64; one block for each image makes factors of them; a pass
 * over rows is left. */
#include "kernels/cuda/tiles.h"
#include "kernels/op/grn.h"

static size_t places_of(const sb_call *c) { return (size_t)c->xs[0].h * (size_t)c->xs[0].w; }
static size_t matrix(const sb_call *c) { return (size_t)c->xs[0].n * (size_t)c->xs[0].c; }

static dim3 tiles_of_images(const sb_call *c)
{
    dim3 grid = column_blocks(tile_runs(places_of(c)), c->xs[0].c);
    grid.z = (unsigned)c->xs[0].n;
    return grid;
}

/* Of each image and run, the sums of a b, and those of a where `plain` is wanted: [n, runs, c]. */
static __global__ void grn_sums(size_t places, int channels, sb_type type, const void *a, const void *b,
                                double *products, double *plain)
{
    tile_part p = my_part(places, channels);
    size_t image = blockIdx.z, first = image * places * (size_t)channels,
           to = image * tile_runs(places) * (size_t)channels;
    float product = 0, sum = 0;
    for (size_t r = p.begin; r < p.end; r += LANES) {
        size_t at = first + r * (size_t)channels + (size_t)p.channel;
        float value = load(a, type, at);
        product += value * load(b, type, at);
        sum += value;
    }
    write_tile_sum(&p, channels, product, products + to);
    if (plain)
        write_tile_sum(&p, channels, sum, plain + to);
}

/* The runs of channel k of an image, added up. */
static __device__ double folded(const double *sums, size_t places, int channels, size_t image, int k)
{
    double sum = 0;
    for (size_t run = 0; run < tile_runs(places); run++)
        sum += sums[(image * tile_runs(places) + run) * (size_t)channels + (size_t)k];
    return sum;
}

/* A block for each image: lengths, to aux (NULL: nowhere), and factors [n, c]. */
static __global__ void grn_lengths(size_t places, int channels, float epsilon, const double *squares,
                                   const float *gamma, float *aux, float *factors)
{
    __shared__ double parts[THREADS / WARP];
    size_t image = blockIdx.x;
    float *mine = factors + image * (size_t)channels;
    double sum = 0;
    for (int k = (int)threadIdx.x; k < channels; k += THREADS) {
        mine[k] = (float)sqrt(folded(squares, places, channels, image, k));
        sum += mine[k];
    }
    float mean = (float)(block_sum(sum, parts) / channels) + epsilon;
    for (int k = (int)threadIdx.x; k < channels; k += THREADS) {
        float length = mine[k];
        mine[k] = 1 + gamma[k] * (length / mean);
        if (aux)
            aux[image * (size_t)(channels + 1) + (size_t)k] = length;
    }
    if (aux && threadIdx.x == 0)
        aux[image * (size_t)(channels + 1) + (size_t)channels] = mean;
}

static __global__ void grn_forward(size_t rows, size_t places, int channels, sb_type type, const void *x,
                                   const float *factors, const float *beta, void *y)
{
    tile_part p = my_part(rows, channels);
    for (size_t r = p.begin; r < p.end; r += LANES) {
        size_t at = r * (size_t)channels + (size_t)p.channel,
               of = r / places * (size_t)channels + (size_t)p.channel;
        store(y, type, at, load(x, type, at) * factors[of] + beta[p.channel]);
    }
}

/* A block for each image: what dy and x of a place are multiplied by, [n, c] each; and D folded, [n, c]. */
static __global__ void grn_factors(size_t places, int channels, const double *products, const float *gamma,
                                   const float *aux, double *folded_products, float *factors, float *of_x)
{
    __shared__ double parts[THREADS / WARP];
    size_t image = blockIdx.x, at = image * (size_t)channels;
    const float *lengths = aux + image * (size_t)(channels + 1);
    double mean = lengths[channels], sum = 0;
    for (int k = (int)threadIdx.x; k < channels; k += THREADS) {
        double product = folded(products, places, channels, image, k);
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

static __global__ void grn_weights(int images, size_t places, int channels, const double *folded_products,
                                   const double *plain, const float *aux, float *dgamma, float *dbeta)
{
    int k = (int)global_thread();
    if (k >= channels)
        return;
    double product = 0, sum = 0;
    for (size_t i = 0; i < (size_t)images; i++) {
        const float *lengths = aux + i * (size_t)(channels + 1);
        product += folded_products[i * (size_t)channels + (size_t)k] *
                   (double)(lengths[k] / lengths[channels]);
        sum += folded(plain, places, channels, i, k);
    }
    if (dgamma)
        dgamma[k] += (float)product;
    if (dbeta)
        dbeta[k] += (float)sum;
}

static __global__ void grn_backward(size_t rows, size_t places, int channels, sb_type type, const void *x,
                                    const void *dy, const float *factors, const float *of_x, void *dx,
                                    bool add)
{
    tile_part p = my_part(rows, channels);
    for (size_t r = p.begin; r < p.end; r += LANES) {
        size_t at = r * (size_t)channels + (size_t)p.channel,
               of = r / places * (size_t)channels + (size_t)p.channel;
        give(dx, type, at, load(dy, type, at) * factors[of] + load(x, type, at) * of_x[of], add);
    }
}

/* Sums of the runs, twice; D of each image; factors, twice. */
static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    return matrix(c) * ((2 * tile_runs(places_of(c)) + 1) * sizeof(double) + 2 * sizeof(float));
}

static int forward(sb_device *device, const sb_call *c)
{
    double *squares = (double *)c->scratch;
    float *factors = (float *)(squares + matrix(c) * tile_runs(places_of(c)));
    LAUNCH(grn_sums, tiles_of_images(c), dim3(WARP, LANES), 0, sb_cuda_compute(device), places_of(c),
           c->xs[0].c, c->xs[0].type, c->x[0], c->x[0], squares, (double *)NULL);
    LAUNCH(grn_lengths, (unsigned)c->xs[0].n, THREADS, 0, sb_cuda_compute(device), places_of(c), c->xs[0].c,
           ((const sb_grn_how *)c->how)->epsilon, squares, c->w[0], (float *)c->aux, factors);
    LAUNCH(grn_forward, tiles_over(&c->ys), dim3(WARP, LANES), 0, sb_cuda_compute(device),
           sb_shape_rows(&c->ys), places_of(c), c->ys.c, c->ys.type, c->x[0], factors, c->w[1], c->y);
    return sb_cuda_launched("grn_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const size_t of_runs = matrix(c) * tile_runs(places_of(c));
    double *products = (double *)c->scratch, *plain = products + of_runs, *folded_products = plain + of_runs;
    float *factors = (float *)(folded_products + matrix(c)), *of_x = factors + matrix(c);
    const float *aux = (const float *)c->aux;
    LAUNCH(grn_sums, tiles_of_images(c), dim3(WARP, LANES), 0, sb_cuda_compute(device), places_of(c),
           c->xs[0].c, c->xs[0].type, c->dy, c->x[0], products, plain);
    LAUNCH(grn_factors, (unsigned)c->xs[0].n, THREADS, 0, sb_cuda_compute(device), places_of(c), c->xs[0].c,
           products, c->w[0], aux, folded_products, factors, of_x);
    LAUNCH(grn_weights, blocks_for((size_t)c->xs[0].c), THREADS, 0, sb_cuda_compute(device), c->xs[0].n,
           places_of(c), c->xs[0].c, folded_products, plain, aux, c->dw[0], c->dw[1]);
    if (c->dx[0]) {
        LAUNCH(grn_backward, tiles_over(&c->ys), dim3(WARP, LANES), 0, sb_cuda_compute(device),
               sb_shape_rows(&c->ys), places_of(c), c->ys.c, c->ys.type, c->x[0], c->dy, factors, of_x,
               c->dx[0], c->add[0]);
    }
    return sb_cuda_launched("grn_backward");
}

extern "C" const sb_kernel sb_cuda_grn = { .scratch = scratch, .forward = forward, .backward = backward };
