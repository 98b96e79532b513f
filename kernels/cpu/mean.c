/* mean.c: the mean of all values on the CPU. */
#include "kernels/cpu/cpu.h"
#include "kernels/op/mean.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t count = sb_shape_elements(&call->xs[0]);
    const float *x = call->x[0];
    float *y = call->y;
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i];
    *y = (float)(sum / (double)count);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t count = sb_shape_elements(&call->xs[0]);
    const float *dy = call->dy;
    float share = (float)(*dy / (double)count);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        sb_cpu_give(call->dx[0], i, share, call->add[0]);
    return 0;
}

const sb_kernel sb_cpu_mean = { .forward = forward, .backward = backward };
