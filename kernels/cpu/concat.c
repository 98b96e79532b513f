/* concat.c: rows behind rows on the CPU. */
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/op/concat.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    char *y = call->y;
    for (int i = 0; i < 2; i++) {
        memcpy(y, call->x[i], sb_shape_bytes(&call->xs[i]));
        y += sb_shape_bytes(&call->xs[i]);
    }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const float *dy = call->dy;
    for (int i = 0; i < 2; i++) {
        const size_t values = sb_shape_elements(&call->xs[i]);
        for (size_t k = 0; k < values && call->dx[i]; k++)
            sb_cpu_give(call->dx[i], k, dy[k], call->add[i]);
        dy += values;
    }
    return 0;
}

const sb_kernel sb_cpu_concat = { .forward = forward, .backward = backward };
