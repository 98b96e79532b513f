/* row_distance.cu: distances of rows on a GPU. A row is one warp's work, its sum in f64. */
#include "kernels/cuda/launch.h"
#include "kernels/op/row_distance.h"

static __global__ void row_distance_forward(size_t rows, int columns, const float *a, const float *b,
                                            float *y)
{
    size_t r = global_thread() / WARP;
    if (r >= rows) /* a whole warp leaves or stays */
        return;
    size_t at = r * (size_t)columns;
    double sum = 0;
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP) {
        double d = (double)a[at + (size_t)c] - b[at + (size_t)c];
        sum += d * d;
    }
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        y[r] = (float)sum;
}

static __global__ void row_distance_backward(size_t count, int columns, const float *dy, const float *mine,
                                             const float *other, float *dx, bool add)
{
    size_t i = global_thread();
    if (i < count)
        give(dx, SB_F32, i, 2 * dy[i / (size_t)columns] * (mine[i] - other[i]), add);
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t rows = sb_shape_rows(&c->ys);
    LAUNCH(row_distance_forward, blocks_for(rows * WARP), THREADS, 0, sb_cuda_compute(device), rows,
           c->xs[0].c, (const float *)c->x[0], (const float *)c->x[1], (float *)c->y);
    return sb_cuda_launched("row_distance_forward");
}

/* Each input's gradient points away from the other. */
static int backward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->xs[0]);
    for (int i = 1; i >= 0; i--) {
        if (!c->dx[i])
            continue;
        LAUNCH(row_distance_backward, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count,
               c->xs[0].c, (const float *)c->dy, (const float *)c->x[i], (const float *)c->x[1 - i],
               (float *)c->dx[i], c->add[i]);
        if (sb_cuda_launched("row_distance_backward") != 0)
            return -1;
    }
    return 0;
}

extern "C" const sb_kernel sb_cuda_row_distance = { .forward = forward, .backward = backward };
