/* device.h: what the plug-in shows. */
#ifndef SB_KERNELS_CUDA_DEVICE_H
#define SB_KERNELS_CUDA_DEVICE_H

#include "kernels/device.h"

/* Opens the first GPU, by the numbers that nvidia-smi shows (CUDA_DEVICE_ORDER=PCI_BUS_ID, unless set
 * otherwise; CUDA_VISIBLE_DEVICES chooses). 0, -1, or SB_DEVICE_FULL: the GPU has no memory left for one more
 * process. The plug-in leaves its reason in the program's sb_error. */
int sb_device_cuda(sb_device **out);

#endif
