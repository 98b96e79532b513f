/* rows.cu: rows in turn on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/rows.h"

/* y [how.count, width], x [n, width]. */
static __global__ void rows_forward(sb_rows_how how, int n, size_t width, const float *x, float *y)
{
    size_t i = global_thread();
    if (i >= (size_t)how.count * width)
        return;
    size_t row = ((size_t)how.first + i / width) % (size_t)n;
    y[i] = x[row * width + i % width];
}

/* Each row of x adds up the gradients of its copies in y, which are every n-th row. */
static __global__ void rows_backward(sb_rows_how how, int n, size_t width, const float *dy, float *dx,
                                     bool add)
{
    size_t i = global_thread();
    if (i >= (size_t)n * width)
        return;
    double sum = 0;
    for (size_t row = (i / width + (size_t)(n - how.first)) % (size_t)n; row < (size_t)how.count;
         row += (size_t)n)
        sum += dy[row * width + i % width];
    give(dx, SB_F32, i, (float)sum, add);
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t width = sb_shape_elements(&c->xs[0]) / (size_t)c->xs[0].n;
    LAUNCH(rows_forward, blocks_for(sb_shape_elements(&c->ys)), THREADS, 0, sb_cuda_compute(device),
           *(const sb_rows_how *)c->how, c->xs[0].n, width, (const float *)c->x[0], (float *)c->y);
    return sb_cuda_launched("rows_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t width = sb_shape_elements(&c->xs[0]) / (size_t)c->xs[0].n;
    LAUNCH(rows_backward, blocks_for(sb_shape_elements(&c->xs[0])), THREADS, 0, sb_cuda_compute(device),
           *(const sb_rows_how *)c->how, c->xs[0].n, width, (const float *)c->dy, (float *)c->dx[0],
           c->add[0]);
    return sb_cuda_launched("rows_backward");
}

extern "C" const sb_kernel sb_cuda_rows = { .forward = forward, .backward = backward };
