/* linear.c: y = x W' + b on the CPU; the products are oneDNN's. */
#include "kernels/cpu/bias.h"
#include "kernels/op/linear.h"

static void add_bias(int rows, int columns, const float *bias, float *y)
{
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            y[(size_t)r * (size_t)columns + (size_t)c] += bias[c];
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_linear_how *how = call->how;
    int rows = (int)sb_shape_rows(&call->xs[0]), in = call->xs[0].c, out = how->out;
    if (sb_cpu_sgemm(false, true, rows, out, in, 1, call->x[0], call->w[0], 0, call->y) != 0)
        return -1;
    if (how->bias)
        add_bias(rows, out, call->w[1], call->y);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_linear_how *how = call->how;
    int rows = (int)sb_shape_rows(&call->xs[0]), in = call->xs[0].c, out = how->out;
    if (how->bias && call->dw[1])
        sb_cpu_bias_back(&call->ys, call->dy, call->dw[1]);
    if (call->dw[0] && sb_cpu_sgemm(true, false, out, in, rows, 1, call->dy, call->x[0], 1, call->dw[0]) != 0)
        return -1;
    return call->dx[0] ? sb_cpu_sgemm(false, false, rows, in, out, 1, call->dy, call->w[0],
                                      call->add[0] ? 1 : 0, call->dx[0])
                       : 0;
}

const sb_kernel sb_cpu_linear = { .forward = forward, .backward = backward };
