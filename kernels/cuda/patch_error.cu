/* patch_error.cu: errors of predicted patches on a GPU. A patch is one warp's work, an image one block's;
 * sums are f64's. */
#include "kernels/cuda/line.h"
#include "kernels/op/patch_error.h"

/* Value i of a patch, as the encoder gets it. */
static __device__ inline float value_of(const sb_patch_error *s, cuda_line line, const uint8_t *pixels,
                                        size_t patch, int cell, int i)
{
    return on_line(line, pixels[sb_patch_error_pixel(s, patch, cell, i)], i % s->channels);
}

static __global__ void patch_error_forward(sb_patch_error s, cuda_line line, const void *x,
                                           const uint8_t *pixels, const int32_t *cells, double *errors,
                                           float *aux)
{
    const size_t patch = global_thread() / WARP;
    const int lane = (int)(threadIdx.x % WARP);
    if (patch >= (size_t)s.images * (size_t)s.cells) /* a whole warp leaves or stays */
        return;
    const int cell = cells[patch];
    double sum = 0, squares = 0, error = 0;
    for (int i = lane; i < s.values; i += WARP)
        sum += (double)value_of(&s, line, pixels, patch, cell, i);
    const float mean = (float)(warp_sum(sum) / s.values);
    for (int i = lane; i < s.values; i += WARP) {
        const double off = (double)(value_of(&s, line, pixels, patch, cell, i) - mean);
        squares += off * off;
    }
    const float factor = sb_patch_error_factor(&s, warp_sum(squares));
    for (int i = lane; i < s.values; i += WARP) {
        const float off = load(x, s.type, patch * (size_t)s.values + (size_t)i) -
                          (value_of(&s, line, pixels, patch, cell, i) - mean) * factor;
        error += (double)off * (double)off;
    }
    error = warp_sum(error);
    if (lane != 0)
        return;
    errors[patch] = error / s.values;
    if (aux) {
        aux[2 * patch] = mean;
        aux[2 * patch + 1] = factor;
    }
}

static __global__ void patch_error_mean(int cells, const double *errors, float *y)
{
    __shared__ double parts[THREADS / WARP];
    double sum = 0;
    for (int k = (int)threadIdx.x; k < cells; k += THREADS)
        sum += errors[(size_t)blockIdx.x * (size_t)cells + (size_t)k];
    sum = block_sum(sum, parts);
    if (threadIdx.x == 0)
        y[blockIdx.x] = (float)(sum / cells);
}

static __global__ void patch_error_backward(sb_patch_error s, cuda_line line, const void *x,
                                            const uint8_t *pixels, const int32_t *cells, const float *aux,
                                            const float *dy, void *dx, bool add)
{
    const size_t at = global_thread(), patch = at / (size_t)s.values;
    if (patch >= (size_t)s.images * (size_t)s.cells)
        return;
    const int i = (int)(at % (size_t)s.values);
    const float off = load(x, s.type, at) -
                      (value_of(&s, line, pixels, patch, cells[patch], i) - aux[2 * patch]) *
                          aux[2 * patch + 1],
                share = 2 / ((float)s.values * (float)s.cells);
    give(dx, s.type, at, share * dy[patch / (size_t)s.cells] * off, add);
}

static cuda_line line_of(const sb_call *c)
{
    return cuda_line_of(&((const sb_patch_error_how *)c->how)->input, c->xs[1].c);
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_patch_error s = sb_patch_error_of(c);
    double *errors = (double *)c->scratch;
    LAUNCH(patch_error_forward, blocks_for(sb_shape_rows(&c->xs[0]) * WARP), THREADS, 0,
           sb_cuda_compute(device), s, line_of(c), c->x[0], (const uint8_t *)c->x[1],
           (const int32_t *)c->x[2], errors, (float *)c->aux);
    if (sb_cuda_launched("patch_error_forward") != 0)
        return -1;
    LAUNCH(patch_error_mean, (unsigned)s.images, THREADS, 0, sb_cuda_compute(device), s.cells,
           (const double *)errors, (float *)c->y);
    return sb_cuda_launched("patch_error_mean");
}

static int backward(sb_device *device, const sb_call *c)
{
    LAUNCH(patch_error_backward, blocks_for(sb_shape_elements(&c->xs[0])), THREADS, 0,
           sb_cuda_compute(device), sb_patch_error_of(c), line_of(c), c->x[0], (const uint8_t *)c->x[1],
           (const int32_t *)c->x[2], (const float *)c->aux, (const float *)c->dy, c->dx[0], c->add[0]);
    return sb_cuda_launched("patch_error_backward");
}

static size_t scratch(sb_device *device, const sb_call *c)
{
    return (void)device, sb_shape_rows(&c->xs[0]) * sizeof(double);
}

extern "C" const sb_kernel sb_cuda_patch_error = { .scratch = scratch,
                                                   .forward = forward,
                                                   .backward = backward };
