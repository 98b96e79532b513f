/* wasserstein.cu: columns against normal numbers on a GPU. A value's rank is counted, not sorted for: a view
 * has few rows. */
#include "kernels/cuda/columns.h"
#include "kernels/op/wasserstein.h"

static __global__ void quantiles(int samples, double *out)
{
    int i = (int)global_thread();
    if (i < samples)
        out[i] = sb_normal_quantile(i, samples);
}

static __global__ void wasserstein_forward(int samples, int columns, const double *quantile, const float *x,
                                           float *y, float *aux)
{
    __shared__ double parts[LANES][WARP];
    int c = (int)(blockIdx.y * WARP + threadIdx.x);
    bool inside = c < columns;
    size_t width = (size_t)columns, begin = (size_t)blockIdx.x * (size_t)samples * width + (size_t)c;
    double sum = 0;
    for (int r = (int)threadIdx.y; r < samples && inside; r += LANES) {
        float value = x[begin + (size_t)r * width];
        int rank = 0;
        for (int other = 0; other < samples; other++) {
            float with = x[begin + (size_t)other * width];
            rank += with < value || (with == value && other < r);
        }
        double off = value - quantile[rank];
        sum += off * off;
        aux[begin + (size_t)r * width] = (float)quantile[rank];
    }
    sum = column_sum(sum, parts);
    if (threadIdx.y == 0 && inside)
        y[blockIdx.x * width + (size_t)c] = (float)(sum / samples);
}

static __global__ void wasserstein_backward(size_t count, int samples, size_t columns, const float *x,
                                            const float *aux, const float *dy, float *dx, bool add)
{
    size_t i = global_thread();
    if (i >= count)
        return;
    double slope = 2 * ((double)x[i] - aux[i]) / samples;
    give(dx, SB_F32, i, (float)(dy[i / columns / (size_t)samples * columns + i % columns] * slope), add);
}

static int samples_of(const sb_call *c) { return ((const sb_wasserstein_how *)c->how)->samples; }

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    return (size_t)samples_of(c) * sizeof(double);
}

static int forward(sb_device *device, const sb_call *c)
{
    int samples = samples_of(c);
    LAUNCH(quantiles, blocks_for((size_t)samples), THREADS, 0, sb_cuda_compute(device), samples,
           (double *)c->scratch);
    LAUNCH(wasserstein_forward, column_blocks((size_t)c->ys.n, c->ys.c), dim3(WARP, LANES), 0,
           sb_cuda_compute(device), samples, c->ys.c, (const double *)c->scratch, (const float *)c->x[0],
           (float *)c->y, (float *)c->aux);
    return sb_cuda_launched("wasserstein");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->xs[0]);
    LAUNCH(wasserstein_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, samples_of(c),
           (size_t)c->ys.c, (const float *)c->x[0], (const float *)c->aux, (const float *)c->dy,
           (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("wasserstein_backward");
}

extern "C" const sb_kernel sb_cuda_wasserstein = { .scratch = scratch,
                                                   .forward = forward,
                                                   .backward = backward };
