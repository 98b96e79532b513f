/* residual.cu: y = x1 + gamma x0 on a GPU. */
#include "kernels/cuda/tiles.h"
#include "kernels/op/residual.h"

static __global__ void residual_forward(size_t rows, int channels, sb_type type, const void *x, const void *r,
                                        const float *gamma, void *y)
{
    tile_part p = my_part(rows, channels);
    for (size_t row = p.begin; row < p.end; row += LANES) {
        size_t at = row * (size_t)channels + (size_t)p.channel;
        float value = load(x, type, at);
        store(y, type, at, load(r, type, at) + (gamma ? gamma[p.channel] * value : value));
    }
}

/* dr first: x and r may be one tensor. sums: of dy x, to be dgamma; NULL: not wanted. */
static __global__ void residual_backward(size_t rows, int channels, sb_type type, const void *x,
                                         const float *gamma, const void *dy, void *dx, bool add, void *dr,
                                         bool add_dr, double *sums)
{
    tile_part p = my_part(rows, channels);
    float sum = 0;
    for (size_t row = p.begin; row < p.end; row += LANES) {
        size_t at = row * (size_t)channels + (size_t)p.channel;
        float g = load(dy, type, at);
        if (sums)
            sum += g * load(x, type, at);
        if (dr)
            give(dr, type, at, g, add_dr);
        if (dx)
            give(dx, type, at, gamma ? gamma[p.channel] * g : g, add);
    }
    if (sums)
        write_tile_sum(&p, channels, sum, sums);
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    return ((const sb_residual_how *)c->how)->scaled ? tile_sums_bytes(&c->ys) : 0;
}

static int forward(sb_device *device, const sb_call *c)
{
    LAUNCH(residual_forward, tiles_over(&c->ys), dim3(WARP, LANES), 0, sb_cuda_compute(device),
           sb_shape_rows(&c->ys), c->ys.c, c->ys.type, c->x[0], c->x[1], c->w[0], c->y);
    return sb_cuda_launched("residual_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    double *sums = c->dw[0] ? (double *)c->scratch : NULL;
    void *dr = c->dx[1] == c->dy ? NULL : c->dx[1]; /* over dy: it is there already */
    LAUNCH(residual_backward, tiles_over(&c->ys), dim3(WARP, LANES), 0, sb_cuda_compute(device),
           sb_shape_rows(&c->ys), c->ys.c, c->ys.type, c->x[0], c->w[0], c->dy, c->dx[0], c->add[0], dr,
           c->add[1], sums);
    add_tiles(device, &c->ys, sums, c->dw[0]);
    return sb_cuda_launched("residual_backward");
}

extern "C" const sb_kernel sb_cuda_residual = { .scratch = scratch,
                                                .forward = forward,
                                                .backward = backward };
