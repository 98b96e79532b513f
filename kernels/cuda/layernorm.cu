/* layernorm.cu: layer normalisation on a GPU. A row is one warp's work: its threads add f32 parts, which are
 * added in f64. Gradients of weights are a pass of their own, by tiles, in front of the one that gives dx,
 * which may lie over what both read. */
#include "kernels/cuda/tiles.h"
#include "kernels/op/layernorm.h"

static __global__ void layernorm_forward(size_t rows, int channels, sb_type type, float epsilon,
                                         const void *x, const float *gamma, const float *beta, void *y,
                                         float *statistics)
{
    size_t r = global_thread() / WARP, at = r * (size_t)channels;
    int lane = (int)(threadIdx.x % WARP);
    if (r >= rows) /* a whole warp leaves or stays */
        return;
    float sum = 0, squares = 0;
    for (int c = lane; c < channels; c += WARP)
        sum += load(x, type, at + (size_t)c);
    float mean = (float)(warp_sum(sum) / channels);
    for (int c = lane; c < channels; c += WARP) {
        float off = load(x, type, at + (size_t)c) - mean;
        squares += off * off;
    }
    float inverse = 1.0f / sqrtf((float)(warp_sum(squares) / channels) + epsilon);
    for (int c = lane; c < channels; c += WARP) {
        float normal = (load(x, type, at + (size_t)c) - mean) * inverse;
        store(y, type, at + (size_t)c, normal * (gamma ? gamma[c] : 1.0f) + (beta ? beta[c] : 0.0f));
    }
    if (statistics && lane == 0) {
        statistics[2 * r] = mean;
        statistics[2 * r + 1] = inverse;
    }
}

/* products: of dy xhat; sums: of dy. */
static __global__ void layernorm_weights(size_t rows, int channels, sb_type type, const void *x,
                                         const void *dy, const float *statistics, double *products,
                                         double *sums)
{
    tile_part p = my_part(rows, channels);
    float product = 0, sum = 0;
    for (size_t r = p.begin; r < p.end; r += LANES) {
        size_t at = r * (size_t)channels + (size_t)p.channel;
        float g = load(dy, type, at);
        product += g * ((load(x, type, at) - statistics[2 * r]) * statistics[2 * r + 1]);
        sum += g;
    }
    write_tile_sum(&p, channels, product, products);
    write_tile_sum(&p, channels, sum, sums);
}

/* dx = inverse (g - mean(g) - xhat mean(g xhat)), with g = gamma dy and means over the row. */
static __global__ void layernorm_backward(size_t rows, int channels, sb_type type, const void *x,
                                          const float *gamma, const float *statistics, const void *dy,
                                          void *dx, bool add)
{
    size_t r = global_thread() / WARP, at = r * (size_t)channels;
    int lane = (int)(threadIdx.x % WARP);
    if (r >= rows)
        return;
    float mean = statistics[2 * r], inverse = statistics[2 * r + 1], sum = 0, product = 0;
    for (int c = lane; c < channels; c += WARP) {
        float g = load(dy, type, at + (size_t)c) * (gamma ? gamma[c] : 1.0f);
        sum += g;
        product += g * ((load(x, type, at + (size_t)c) - mean) * inverse);
    }
    float all = (float)(warp_sum(sum) / channels), along = (float)(warp_sum(product) / channels);
    for (int c = lane; c < channels; c += WARP) {
        float g = load(dy, type, at + (size_t)c) * (gamma ? gamma[c] : 1.0f);
        float normal = (load(x, type, at + (size_t)c) - mean) * inverse;
        give(dx, type, at + (size_t)c, inverse * (g - all - normal * along), add);
    }
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    return 2 * tile_sums_bytes(&c->ys);
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t rows = sb_shape_rows(&c->ys);
    LAUNCH(layernorm_forward, blocks_for(rows * WARP), THREADS, 0, sb_cuda_compute(device), rows, c->ys.c,
           c->ys.type, ((const sb_layernorm_how *)c->how)->epsilon, c->x[0], c->w[0], c->w[1], c->y,
           (float *)c->aux);
    return sb_cuda_launched("layernorm_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t rows = sb_shape_rows(&c->ys);
    const float *statistics = (const float *)c->aux;
    double *products = (double *)c->scratch, *sums = products + tile_sums_bytes(&c->ys) / sizeof(double);
    if (c->dw[0] || c->dw[1]) {
        LAUNCH(layernorm_weights, tiles_over(&c->ys), dim3(WARP, LANES), 0, sb_cuda_compute(device), rows,
               c->ys.c, c->ys.type, c->x[0], c->dy, statistics, products, sums);
        add_tiles(device, &c->ys, products, c->dw[0]);
        add_tiles(device, &c->ys, sums, c->dw[1]);
    }
    if (c->dx[0]) {
        LAUNCH(layernorm_backward, blocks_for(rows * WARP), THREADS, 0, sb_cuda_compute(device), rows,
               c->ys.c, c->ys.type, c->x[0], c->w[0], statistics, c->dy, c->dx[0], c->add[0]);
    }
    return sb_cuda_launched("layernorm_backward");
}

extern "C" const sb_kernel sb_cuda_layernorm = { .scratch = scratch,
                                                 .forward = forward,
                                                 .backward = backward };
