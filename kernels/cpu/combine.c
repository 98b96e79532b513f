/* combine.c: y = alpha x0 + beta x1 + constant on the CPU. */
#include "kernels/cpu/cpu.h"
#include "kernels/op/combine.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_combine_how *how = call->how;
    size_t count = sb_shape_elements(&call->ys);
    const float *a = call->x[0], *b = call->x[1];
    float *y = call->y, alpha = how->alpha, beta = how->beta, constant = how->constant;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] = (b ? alpha * a[i] + beta * b[i] : alpha * a[i]) + constant;
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_combine_how *how = call->how;
    const float factor[2] = { how->alpha, how->beta }, *dy = call->dy;
    size_t count = sb_shape_elements(&call->ys);
    for (int i = 1; i >= 0; i--) {
        float *dx = call->dx[i], scale = factor[i];
        bool add = call->add[i];
        if (!dx)
            continue;
#pragma omp parallel for simd schedule(static)
        for (size_t k = 0; k < count; k++)
            sb_cpu_give(dx, k, scale * dy[k], add);
    }
    return 0;
}

const sb_kernel sb_cpu_combine = { .forward = forward, .backward = backward };
