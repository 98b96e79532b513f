/* combine.cu: y = alpha x0 + beta x1 + constant on a GPU. */
#include "kernels/cuda/vector.h"
#include "kernels/op/combine.h"

static __global__ void combine_forward(size_t count, sb_combine_how how, const float *a, const float *b,
                                       float *y)
{
    by_fours(count, [&]<int N>(size_t i) {
        float value[N], more[N] = {};
        read_tensor<N>(a, i, value);
        if (b)
            read_tensor<N>(b, i, more);
        UNROLLED
        for (int k = 0; k < N; k++) {
            value[k] = how.alpha * value[k];
            value[k] = (b ? value[k] + how.beta * more[k] : value[k]) + how.constant;
        }
        write_tensor<N>(y, i, value);
    });
}

static __global__ void combine_backward(size_t count, float factor, const float *dy, float *dx, bool add)
{
    by_fours(count, [&]<int N>(size_t i) {
        float value[N], held[N] = {};
        read_tensor<N>(dy, i, value);
        if (add)
            read_tensor<N>(dx, i, held);
        UNROLLED
        for (int k = 0; k < N; k++)
            value[k] = add ? held[k] + factor * value[k] : factor * value[k];
        write_tensor<N>(dx, i, value);
    });
}

static int forward(sb_device *device, const sb_call *c)
{
    size_t count = sb_shape_elements(&c->ys);
    LAUNCH(combine_forward, blocks_for((count + 3) / 4), THREADS, 0, sb_cuda_compute(device), count,
           *(const sb_combine_how *)c->how, (const float *)c->x[0], (const float *)c->x[1], (float *)c->y);
    return sb_cuda_launched("combine_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_combine_how *how = (const sb_combine_how *)c->how;
    const float factor[2] = { how->alpha, how->beta };
    size_t count = sb_shape_elements(&c->ys);
    for (int i = 1; i >= 0; i--) {
        if (!c->dx[i])
            continue;
        LAUNCH(combine_backward, blocks_for((count + 3) / 4), THREADS, 0, sb_cuda_compute(device), count,
               factor[i], (const float *)c->dy, (float *)c->dx[i], c->add[i]);
        if (sb_cuda_launched("combine_backward") != 0)
            return -1;
    }
    return 0;
}

extern "C" const sb_kernel sb_cuda_combine = { .forward = forward, .backward = backward };
