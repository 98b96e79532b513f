/* layout.h: between our layouts and the ones cuDNN's fast engines want. Private to kernels/cuda. All on the
 * compute stream. */
#ifndef SB_KERNELS_CUDA_LAYOUT_H
#define SB_KERNELS_CUDA_LAYOUT_H

#include "kernels/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* f32 [out, in, k, k] -> `type` [out, k, k, padded], zeros behind the channels. */
int sb_cuda_filter_pack(sb_device *device, int out, int in, int kernel, int padded, const float *from,
                        sb_type type, void *to);

/* And back: `type` [out, k, k, padded] is added to f32 [out, in, k, k]. */
int sb_cuda_filter_unpack(sb_device *device, int out, int in, int kernel, int padded, sb_type type,
                          const void *from, float *to);

/* [pixels, from_channels] -> [pixels, to_channels], cut off or filled up with zeros: written, or added to
 * what is there. */
int sb_cuda_channels(sb_device *device, size_t pixels, int from_channels, int to_channels, sb_type type,
                     const void *from, void *to, bool add);

#ifdef __cplusplus
}
#endif

#endif
