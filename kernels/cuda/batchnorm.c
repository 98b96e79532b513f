/* batchnorm.c: batch normalisation on a GPU (norm.cu). */
#include "kernels/op/batchnorm.h"
#include "kernels/cuda/norm.h"

static size_t scratch(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_batchnorm_of(call);
    return (void)device, sb_cuda_norm_scratch(&norm);
}

static int forward(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_batchnorm_of(call);
    return sb_cuda_norm_forward(device, &norm, call, call->w[2]);
}

static int backward(sb_device *device, const sb_call *call)
{
    const sb_norm norm = sb_batchnorm_of(call);
    return ((const sb_batchnorm_how *)call->how)->frozen
               ? sb_cuda_norm_backward_given(device, &norm, call, call->w[2])
               : sb_cuda_norm_backward(device, &norm, call);
}

const sb_kernel sb_cuda_batchnorm = { .scratch = scratch, .forward = forward, .backward = backward };
