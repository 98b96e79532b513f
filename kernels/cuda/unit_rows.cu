/* unit_rows.cu: rows made unit vectors on a GPU. A row is one warp's work, its sum in f64. */
#include "kernels/cuda/launch.h"
#include "kernels/op/unit_rows.h"

static __global__ void unit_rows_forward(size_t rows, int columns, const float *x, float *y, float *norm)
{
    size_t r = global_thread() / WARP;
    if (r >= rows) /* a whole warp leaves or stays */
        return;
    size_t at = r * (size_t)columns;
    double exact = sqrt(warp_dot(x + at, x + at, columns));
    float length = exact < 1e-12 ? 1e-12f : (float)exact; /* NAN stays */
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP)
        y[at + (size_t)c] = x[at + (size_t)c] / length;
    if (threadIdx.x % WARP == 0)
        norm[r] = length;
}

static __global__ void unit_rows_backward(size_t rows, int columns, const float *y, const float *norm,
                                          const float *dy, float *dx, bool add)
{
    size_t r = global_thread() / WARP;
    if (r >= rows)
        return;
    size_t at = r * (size_t)columns;
    float along = (float)warp_dot(y + at, dy + at, columns), length = norm[r];
    for (int c = (int)(threadIdx.x % WARP); c < columns; c += WARP)
        give(dx, SB_F32, at + (size_t)c, (dy[at + (size_t)c] - y[at + (size_t)c] * along) / length, add);
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t rows = sb_shape_rows(&c->ys);
    LAUNCH(unit_rows_forward, blocks_for(rows * WARP), THREADS, 0, sb_cuda_compute(device), rows, c->ys.c,
           (const float *)c->x[0], (float *)c->y, (float *)c->aux);
    return sb_cuda_launched("unit_rows_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    size_t rows = sb_shape_rows(&c->ys);
    LAUNCH(unit_rows_backward, blocks_for(rows * WARP), THREADS, 0, sb_cuda_compute(device), rows, c->ys.c,
           (const float *)c->y, (const float *)c->aux, (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("unit_rows_backward");
}

extern "C" const sb_kernel sb_cuda_unit_rows = { .forward = forward, .backward = backward };
