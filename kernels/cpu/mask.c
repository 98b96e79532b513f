/* mask.c: values replaced, on the CPU. */
#include "kernels/op/mask.h"

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_mask_how *how = call->how;
    const size_t count = sb_shape_elements(&call->ys), columns = (size_t)call->ys.c;
    const float *x = call->x[0];
    float *y = call->y;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        y[i] = sb_masked(how, call->x[1], columns, i) ? how->value : x[i];
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_mask_how *how = call->how;
    const size_t count = sb_shape_elements(&call->ys), columns = (size_t)call->ys.c;
    const float *dy = call->dy;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        sb_cpu_give(call->dx[0], i, sb_masked(how, call->x[1], columns, i) ? 0 : dy[i], call->add[0]);
    return 0;
}

const sb_kernel sb_cpu_mask = { .forward = forward, .backward = backward };
