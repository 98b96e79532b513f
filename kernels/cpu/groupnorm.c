/* groupnorm.c: group normalisation on the CPU (norm.c). */
#include "kernels/op/groupnorm.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/norm.h"

static size_t scratch(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_groupnorm_of(call);
    return sb_cpu_norm_scratch(device->threads, &norm);
}

static int forward(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_groupnorm_of(call);
    sb_cpu_norm_forward(device->threads, &norm, call, NULL);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_groupnorm_of(call);
    sb_cpu_norm_backward(device->threads, &norm, call);
    return 0;
}

const sb_kernel sb_cpu_groupnorm = {
    .layout = sb_cpu_as_comes, .scratch = scratch, .forward = forward, .backward = backward
};
