/* unscale.c: y = factor x, and whether it is finite, on the CPU. */
#include "kernels/op/unscale.h"

#include <math.h>

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const float factor = ((const sb_unscale_how *)call->how)->factor, *x = call->x[0];
    const size_t count = sb_shape_elements(&call->ys);
    float *y = call->y;
    int wrong = 0;
#pragma omp parallel for simd schedule(static) reduction(| : wrong)
    for (size_t i = 0; i < count; i++) {
        y[i] = factor * x[i];
        wrong |= !isfinite(y[i]);
    }
    *(int32_t *)call->aux = wrong;
    return 0;
}

const sb_kernel sb_cpu_unscale = { .forward = forward };
