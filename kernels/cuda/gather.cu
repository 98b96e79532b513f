/* gather.cu: rows by number on a GPU. */
#include "kernels/cuda/launch.h"
#include "kernels/op/gather.h"

static __global__ void gather_forward(size_t count, size_t width, const int32_t *index, const float *x,
                                      float *y)
{
    size_t i = global_thread();
    if (i < count * width)
        y[i] = x[(size_t)index[i / width] * width + i % width];
}

/* A block for each number: the first that names a row adds up the gradients of all that do. */
static __global__ void gather_backward(int count, size_t width, const int32_t *index, const float *dy,
                                       float *dx, bool add)
{
    __shared__ double parts[THREADS / WARP];
    int i = (int)blockIdx.x, row = index[i];
    double earlier = 0;
    for (int j = (int)threadIdx.x; j < i; j += THREADS)
        earlier += index[j] == row;
    if (block_sum(earlier, parts) > 0)
        return;
    for (size_t k = threadIdx.x; k < width; k += THREADS) {
        double sum = 0;
        for (int j = i; j < count; j++)
            if (index[j] == row)
                sum += dy[(size_t)j * width + k];
        give(dx, SB_F32, (size_t)row * width + k, (float)sum, add);
    }
}

static size_t width_of(const sb_call *c) { return sb_shape_elements(&c->xs[1]) / (size_t)c->xs[1].n; }

static int forward(sb_device *device, const sb_call *c)
{
    LAUNCH(gather_forward, blocks_for(sb_shape_elements(&c->ys)), THREADS, 0, sb_cuda_compute(device),
           (size_t)c->xs[0].n, width_of(c), (const int32_t *)c->x[0], (const float *)c->x[1], (float *)c->y);
    return sb_cuda_launched("gather_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    if (!c->add[1] && device->zero(device, c->dx[1], sb_shape_bytes(&c->xs[1])) != 0)
        return -1;
    LAUNCH(gather_backward, (unsigned)c->xs[0].n, THREADS, 0, sb_cuda_compute(device), c->xs[0].n,
           width_of(c), (const int32_t *)c->x[0], (const float *)c->dy, (float *)c->dx[1], c->add[1]);
    return sb_cuda_launched("gather_backward");
}

extern "C" const sb_kernel sb_cuda_gather = { .forward = forward, .backward = backward };
