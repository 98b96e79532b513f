/* centre.cu: columns without their means on a GPU. */
#include "kernels/cuda/columns.h"
#include "kernels/op/centre.h"

static __global__ void centre(int samples, int columns, const float *x, float *y, bool add)
{
    __shared__ double parts[LANES][WARP];
    int c = (int)(blockIdx.y * WARP + threadIdx.x);
    size_t begin = (size_t)blockIdx.x * (size_t)samples * (size_t)columns + (size_t)c;
    double sum = 0;
    for (int r = (int)threadIdx.y; r < samples && c < columns; r += LANES)
        sum += x[begin + (size_t)r * (size_t)columns];
    double mean = column_sum(sum, parts) / samples;
    for (int r = (int)threadIdx.y; r < samples && c < columns; r += LANES) {
        size_t i = begin + (size_t)r * (size_t)columns;
        give(y, SB_F32, i, (float)(x[i] - mean), add);
    }
}

static int run(sb_device *device, const sb_call *c, const float *x, float *y, bool add)
{
    int samples = ((const sb_centre_how *)c->how)->samples;
    LAUNCH(centre, column_blocks(sb_shape_rows(&c->xs[0]) / (size_t)samples, c->xs[0].c), dim3(WARP, LANES),
           0, sb_cuda_compute(device), samples, c->xs[0].c, x, y, add);
    return sb_cuda_launched("centre");
}

static int forward(sb_device *device, const sb_call *c)
{
    return run(device, c, (const float *)c->x[0], (float *)c->y, false);
}

static int backward(sb_device *device, const sb_call *c)
{
    return run(device, c, (const float *)c->dy, (float *)c->dx[0], c->add[0]);
}

extern "C" const sb_kernel sb_cuda_centre = { .forward = forward, .backward = backward };
