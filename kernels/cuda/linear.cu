/* linear.cu: y = x W' + b on a GPU; the products are cuBLAS'. */
#include "kernels/cuda/bias.h"
#include "kernels/cuda/blas.h"
#include "kernels/op/linear.h"

static size_t scratch(sb_device *device, const sb_call *c)
{
    (void)device;
    return ((const sb_linear_how *)c->how)->bias ? sb_cuda_bias_scratch(&c->ys) : 0;
}

static int forward(sb_device *device, const sb_call *c)
{
    const sb_linear_how *how = (const sb_linear_how *)c->how;
    int rows = (int)sb_shape_rows(&c->xs[0]), in = c->xs[0].c, out = how->out;
    if (sb_cuda_sgemm(device, false, true, rows, out, in, 1, (const float *)c->x[0], c->w[0], 0,
                      (float *)c->y) != 0)
        return -1;
    return how->bias ? sb_cuda_bias_add(device, &c->ys, c->w[1], c->y) : 0;
}

static int backward(sb_device *device, const sb_call *c)
{
    const sb_linear_how *how = (const sb_linear_how *)c->how;
    const float *dy = (const float *)c->dy;
    int rows = (int)sb_shape_rows(&c->xs[0]), in = c->xs[0].c, out = how->out;
    if (how->bias && c->dw[1] && sb_cuda_bias_back(device, &c->ys, dy, c->dw[1], c->scratch) != 0)
        return -1;
    if (c->dw[0] &&
        sb_cuda_sgemm(device, true, false, out, in, rows, 1, dy, (const float *)c->x[0], 1, c->dw[0]) != 0)
        return -1;
    return c->dx[0] ? sb_cuda_sgemm(device, false, false, rows, in, out, 1, dy, c->w[0], c->add[0] ? 1 : 0,
                                    (float *)c->dx[0])
                    : 0;
}

extern "C" const sb_kernel sb_cuda_linear = { .scratch = scratch, .forward = forward, .backward = backward };
