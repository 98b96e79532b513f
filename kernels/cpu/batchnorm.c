/* batchnorm.c: batch normalisation on the CPU (norm.c). */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/norm.h"
#include "kernels/op/batchnorm.h"

static size_t scratch(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_batchnorm_of(call);
    return sb_cpu_norm_scratch(device->threads, &norm);
}

static int forward(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_batchnorm_of(call);
    sb_cpu_norm_forward(device->threads, &norm, call, call->w[2]);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_batchnorm_of(call);
    if (((const sb_batchnorm_how *)call->how)->frozen)
        sb_cpu_norm_backward_given(device->threads, &norm, call, call->w[2]);
    else
        sb_cpu_norm_backward(device->threads, &norm, call);
    return 0;
}

const sb_kernel sb_cpu_batchnorm = {
    .layout = sb_cpu_as_comes, .scratch = scratch, .forward = forward, .backward = backward
};
