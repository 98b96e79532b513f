/* groupnorm.c: group normalisation on a GPU (norm.cu). */
#include "kernels/op/groupnorm.h"
#include "kernels/cuda/norm.h"

static size_t scratch(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_groupnorm_of(call);
    return (void)device, sb_cuda_norm_scratch(&norm);
}

static int forward(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_groupnorm_of(call);
    return sb_cuda_norm_forward(device, &norm, call, NULL);
}

static int backward(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_groupnorm_of(call);
    return sb_cuda_norm_backward(device, &norm, call);
}

const sb_kernel sb_cuda_groupnorm = { .scratch = scratch, .forward = forward, .backward = backward };
