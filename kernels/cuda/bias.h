/* bias.h: a bias of every channel on a GPU, for the operations that have one. Private to kernels/cuda. */
#ifndef SB_KERNELS_CUDA_BIAS_H
#define SB_KERNELS_CUDA_BIAS_H

#include "kernels/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* values, rows of this shape, += bias [c]. */
int sb_cuda_bias_add(sb_device *device, const sb_shape *y, const float *bias, void *values);

/* What sb_cuda_bias_back works in. */
size_t sb_cuda_bias_scratch(const sb_shape *y);

/* dbias [c] += the sums of the columns of dy, in an order that the shape decides. */
int sb_cuda_bias_back(sb_device *device, const sb_shape *y, const void *dy, float *dbias, void *scratch);

#ifdef __cplusplus
}
#endif

#endif
