/* softplus.c: log(1 + exp(x)) on the CPU. The exponential is of -|x|, so that it neither overflows nor
 * drowns. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/op/softplus.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t count = sb_shape_elements(&call->ys);
    const float *x = call->x[0];
    float *y = call->y;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        float e = expf(-fabsf(x[i])), above = x[i] > 0 ? x[i] : 0;
        y[i] = above + log1pf(e);
    }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t count = sb_shape_elements(&call->ys);
    const float *x = call->x[0], *dy = call->dy;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        float e = expf(-fabsf(x[i])), sigmoid = (x[i] > 0 ? 1 : e) / (1 + e);
        sb_cpu_give(call->dx[0], i, dy[i] * sigmoid, call->add[0]);
    }
    return 0;
}

const sb_kernel sb_cpu_softplus = { .forward = forward, .backward = backward };
