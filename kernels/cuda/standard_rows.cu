/* standard_rows.cu: rows of mean 0 and variance 1 on a GPU. A row is one warp's work, its sums in f64. */
#include "kernels/cuda/launch.h"
#include "kernels/op/standard_rows.h"

/* Mean and 1 / deviation of the warp's row. */
static __device__ inline void find(const float *x, int columns, double *mean, double *inverse)
{
    double sum = 0, square = 0;
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP)
        sum += x[c];
    *mean = warp_sum(sum) / columns;
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP)
        square += (x[c] - *mean) * (x[c] - *mean);
    *inverse = 1 / sqrt(warp_sum(square) / columns + SB_STANDARD_EPSILON);
}

static __global__ void standard_rows_forward(size_t rows, int columns, const float *x, float *y)
{
    size_t r = global_thread() / WARP, at = r * (size_t)columns;
    if (r >= rows) /* a whole warp leaves or stays */
        return;
    double mean, inverse;
    find(x + at, columns, &mean, &inverse);
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP)
        y[at + (size_t)c] = (float)((x[at + (size_t)c] - mean) * inverse);
}

static __global__ void standard_rows_backward(size_t rows, int columns, const float *x, const float *dy,
                                              float *dx, bool add)
{
    size_t r = global_thread() / WARP, at = r * (size_t)columns;
    if (r >= rows)
        return;
    double mean, inverse, sum = 0, along = 0;
    find(x + at, columns, &mean, &inverse);
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP) {
        sum += dy[at + (size_t)c];
        along += dy[at + (size_t)c] * (x[at + (size_t)c] - mean);
    }
    sum = warp_sum(sum) / columns;
    along = warp_sum(along) * inverse * inverse / columns;
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP) {
        size_t i = at + (size_t)c;
        give(dx, SB_F32, i, (float)((dy[i] - sum - (x[i] - mean) * along) * inverse), add);
    }
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t rows = sb_shape_rows(&c->ys);
    LAUNCH(standard_rows_forward, blocks_for(rows * WARP), THREADS, 0, sb_cuda_compute(device), rows, c->ys.c,
           (const float *)c->x[0], (float *)c->y);
    return sb_cuda_launched("standard_rows_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t rows = sb_shape_rows(&c->ys);
    LAUNCH(standard_rows_backward, blocks_for(rows * WARP), THREADS, 0, sb_cuda_compute(device), rows,
           c->ys.c, (const float *)c->x[0], (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("standard_rows_backward");
}

extern "C" const sb_kernel sb_cuda_standard_rows = { .forward = forward, .backward = backward };
