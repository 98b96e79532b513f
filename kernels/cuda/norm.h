/* norm.h: the norms of kernels/op/norm.h on a GPU. Private to kernels/cuda. All on the compute stream. */
#ifndef SB_KERNELS_CUDA_NORM_H
#define SB_KERNELS_CUDA_NORM_H

#include "kernels/cuda/cuda.h"
#include "kernels/op/norm.h"

#ifdef __cplusplus
extern "C" {
#endif

size_t sb_cuda_norm_scratch(const sb_norm *norm);

/* given: statistics to normalise with; NULL: those of x, which go to aux. */
int sb_cuda_norm_forward(sb_device *device, const sb_norm *norm, const sb_call *call, const float *given);
int sb_cuda_norm_backward(sb_device *device, const sb_norm *norm, const sb_call *call);

/* Of one whose statistics were given. */
int sb_cuda_norm_backward_given(sb_device *device, const sb_norm *norm, const sb_call *call,
                                const float *given);

#ifdef __cplusplus
}
#endif

#endif
