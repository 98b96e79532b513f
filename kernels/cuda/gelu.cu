/* gelu.cu: GELU on a GPU. The distribution function is half of erfc of what lies left of it, which keeps its
 * digits where it is almost 0. */
#include "kernels/cuda/tiles.h"
#include "kernels/op/gelu.h"

static __device__ inline float distribution(float u) { return 0.5f * erfcf(u * -0.70710678118654752f); }

static __device__ inline float shifted(const void *x, sb_type type, size_t at, const float *bias, int channel)
{
    float u = load(x, type, at);
    return bias ? u + bias[channel] : u;
}

static __global__ void gelu_forward(size_t rows, int channels, sb_type type, const void *x, const float *bias,
                                    void *y)
{
    tile_part p = my_part(rows, channels);
    for (size_t r = p.begin; r < p.end; r += LANES) {
        size_t at = r * (size_t)channels + (size_t)p.channel;
        float u = shifted(x, type, at, bias, p.channel);
        store(y, type, at, u * distribution(u));
    }
}

/* sums: of dx, to be db; NULL: not wanted. */
static __global__ void gelu_backward(size_t rows, int channels, sb_type type, const void *x,
                                     const float *bias, const void *dy, void *dx, bool add, double *sums)
{
    tile_part p = my_part(rows, channels);
    float sum = 0;
    for (size_t r = p.begin; r < p.end; r += LANES) {
        size_t at = r * (size_t)channels + (size_t)p.channel;
        float u = shifted(x, type, at, bias, p.channel);
        float density = expf(u * u * -0.5f) * 0.39894228040143268f; /* 1 / sqrt(2 pi) */
        float g = load(dy, type, at) * (distribution(u) + u * density);
        sum += g;
        if (dx)
            give(dx, type, at, g, add);
    }
    if (sums)
        write_tile_sum(&p, channels, sum, sums);
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    return ((const sb_gelu_how *)c->how)->bias ? tile_sums_bytes(&c->ys) : 0;
}

static int forward(sb_device *device, const sb_call *c)
{
    LAUNCH(gelu_forward, tiles_over(&c->ys), dim3(WARP, LANES), 0, sb_cuda_compute(device),
           sb_shape_rows(&c->ys), c->ys.c, c->ys.type, c->x[0], c->w[0], c->y);
    return sb_cuda_launched("gelu_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    double *sums = c->dw[0] ? (double *)c->scratch : NULL;
    LAUNCH(gelu_backward, tiles_over(&c->ys), dim3(WARP, LANES), 0, sb_cuda_compute(device),
           sb_shape_rows(&c->ys), c->ys.c, c->ys.type, c->x[0], c->w[0], c->dy, c->dx[0], c->add[0], sums);
    add_tiles(device, &c->ys, sums, c->dw[0]);
    return sb_cuda_launched("gelu_backward");
}

extern "C" const sb_kernel sb_cuda_gelu = { .scratch = scratch, .forward = forward, .backward = backward };
