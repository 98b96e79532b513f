/* deviation.cu: deviations of columns on a GPU, in f64. */
#include "kernels/cuda/columns.h"
#include "kernels/op/deviation.h"

/* The mean of this thread's column, of which x is the first value. */
static __device__ double mean_of(int samples, size_t columns, bool inside, const float *x,
                                 double parts[LANES][WARP])
{
    double sum = 0;
    for (int r = (int)threadIdx.y; r < samples && inside; r += LANES)
        sum += x[(size_t)r * columns];
    return column_sum(sum, parts) / samples;
}

static __global__ void deviation_forward(sb_deviation_how how, int columns, const float *x, float *y)
{
    __shared__ double parts[LANES][WARP];
    int c = (int)(blockIdx.y * WARP + threadIdx.x);
    bool inside = c < columns;
    size_t group = blockIdx.x, width = (size_t)columns;
    x += group * (size_t)how.samples * width + (size_t)c;
    double mean = mean_of(how.samples, width, inside, x, parts), squares = 0;
    for (int r = (int)threadIdx.y; r < how.samples && inside; r += LANES) {
        double off = x[(size_t)r * width] - mean;
        squares += off * off;
    }
    squares = column_sum(squares, parts);
    if (threadIdx.y == 0 && inside)
        y[group * width + (size_t)c] = (float)sqrt(squares / (how.samples - 1) + how.epsilon);
}

static __global__ void deviation_backward(sb_deviation_how how, int columns, const float *x, const float *y,
                                          const float *dy, float *dx, bool add)
{
    __shared__ double parts[LANES][WARP];
    int c = (int)(blockIdx.y * WARP + threadIdx.x);
    bool inside = c < columns;
    size_t group = blockIdx.x, width = (size_t)columns, at = group * width + (size_t)c,
           begin = group * (size_t)how.samples * width + (size_t)c;
    double mean = mean_of(how.samples, width, inside, x + begin, parts);
    if (!inside)
        return;
    double factor = y[at] <= 0 ? 0 : dy[at] / ((double)(how.samples - 1) * y[at]);
    for (int r = (int)threadIdx.y; r < how.samples; r += LANES) {
        size_t i = begin + (size_t)r * width;
        give(dx, SB_F32, i, (float)(factor * (x[i] - mean)), add);
    }
}

static int forward(sb_device *device, const sb_call *c)
{
    LAUNCH(deviation_forward, column_blocks((size_t)c->ys.n, c->ys.c), dim3(WARP, LANES), 0,
           sb_cuda_compute(device), *(const sb_deviation_how *)c->how, c->ys.c, (const float *)c->x[0],
           (float *)c->y);
    return sb_cuda_launched("deviation_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    LAUNCH(deviation_backward, column_blocks((size_t)c->ys.n, c->ys.c), dim3(WARP, LANES), 0,
           sb_cuda_compute(device), *(const sb_deviation_how *)c->how, c->ys.c, (const float *)c->x[0],
           (const float *)c->y, (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("deviation_backward");
}

extern "C" const sb_kernel sb_cuda_deviation = { .forward = forward, .backward = backward };
