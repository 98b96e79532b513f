/* running.c: running statistics on the CPU. */
#include "kernels/op/running.h"

#include "kernels/cpu/cpu.h"

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_running_how *how = call->how;
    int channels = call->xs[0].c;
    const float *mean = call->x[0], *variance = mean + channels;
    float *running_mean = call->y, *running_variance = running_mean + channels;
    float momentum = how->momentum, unbiased = sb_running_unbiased(how);
    for (int i = 0; i < channels; i++) {
        running_mean[i] = (1 - momentum) * running_mean[i] + momentum * mean[i];
        running_variance[i] = (1 - momentum) * running_variance[i] + momentum * variance[i] * unbiased;
    }
    return 0;
}

const sb_kernel sb_cpu_running = { .forward = forward };
