/* times.cu: y = x0 x1 on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/times.h"

static __global__ void times_forward(size_t count, size_t span, const float *a, const float *b, float *y)
{
    size_t i = global_thread();
    if (i < count)
        y[i] = a[i] * b[span == 1 ? i : i / span];
}

static __global__ void times_backward(size_t count, size_t span, const float *other, const float *dy,
                                      float *dx, bool add)
{
    size_t i = global_thread();
    if (i < count)
        give(dx, SB_F32, i, other[span == 1 ? i : i / span] * dy[i], add);
}

/* A block for each value of x1. */
static __global__ void times_backward_sum(size_t span, const float *a, const float *dy, float *dx, bool add)
{
    __shared__ double parts[THREADS / WARP];
    const size_t first = blockIdx.x * span;
    double sum = 0;
    for (size_t k = threadIdx.x; k < span; k += THREADS)
        sum += (double)a[first + k] * dy[first + k];
    sum = block_sum(sum, parts);
    if (threadIdx.x == 0)
        give(dx, SB_F32, blockIdx.x, (float)sum, add);
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(times_forward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, sb_times_span(c->xs),
           (const float *)c->x[0], (const float *)c->x[1], (float *)c->y);
    return sb_cuda_launched("times_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const size_t count = sb_shape_elements(&c->ys), others = sb_shape_elements(&c->xs[1]),
                 span = sb_times_span(c->xs);
    const float *a = (const float *)c->x[0], *b = (const float *)c->x[1], *dy = (const float *)c->dy;
    if (c->dx[1] && span == 1)
        LAUNCH(times_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, span, a, dy,
               (float *)c->dx[1], c->add[1]);
    else if (c->dx[1])
        LAUNCH(times_backward_sum, (unsigned)others, THREADS, 0, sb_cuda_compute(device), span, a, dy,
               (float *)c->dx[1], c->add[1]);
    if (c->dx[0])
        LAUNCH(times_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, span, b, dy,
               (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("times_backward");
}

extern "C" const sb_kernel sb_cuda_times = { .forward = forward, .backward = backward };
