/* device.h: the one function that the plug-in shows. */
#ifndef SB_KERNELS_CUDA_DEVICE_H
#define SB_KERNELS_CUDA_DEVICE_H

#include "kernels/device.h"

/* Opens the first GPU (CUDA_VISIBLE_DEVICES chooses). The plug-in leaves its reason in the program's sb_error. */
int sb_device_cuda(sb_device **out);

#endif
