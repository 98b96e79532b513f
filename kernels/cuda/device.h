/* device.h: what the plug-in shows. */
#ifndef SB_KERNELS_CUDA_DEVICE_H
#define SB_KERNELS_CUDA_DEVICE_H

#include "kernels/device.h"

/* Opens the first GPU (CUDA_VISIBLE_DEVICES chooses). The plug-in leaves its reason in the program's sb_error. */
int sb_device_cuda(sb_device **out);

/* Of sb_device as it was when the plug-in was built: the program that loads it may have been built since. */
extern const size_t sb_device_bytes;

#endif
