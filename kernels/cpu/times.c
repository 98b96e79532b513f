/* times.c: y = x0 x1 on the CPU. */
#include "kernels/op/times.h"

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t count = sb_shape_elements(&call->ys);
    const float *a = call->x[0], *b = call->x[1];
    float *y = call->y;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] = a[i] * b[i];
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t count = sb_shape_elements(&call->ys);
    const float *dy = call->dy;
    for (int i = 1; i >= 0; i--) {
        const float *other = call->x[1 - i];
        float *dx = call->dx[i];
        bool add = call->add[i];
        if (!dx)
            continue;
#pragma omp parallel for simd schedule(static)
        for (size_t k = 0; k < count; k++)
            sb_cpu_give(dx, k, other[k] * dy[k], add);
    }
    return 0;
}

const sb_kernel sb_cpu_times = { .forward = forward, .backward = backward };
