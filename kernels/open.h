/* open.h: which device a program computes on. */
#ifndef SB_KERNELS_OPEN_H
#define SB_KERNELS_OPEN_H

#include "kernels/device.h"

typedef enum { SB_DEVICE_AUTO, SB_DEVICE_CPU, SB_DEVICE_CUDA } sb_device_choice;

/* Opens what is chosen. auto: the GPU, if the plug-in, its libraries, a driver and a GPU are
 * there; else the CPU. cuda: that, or an error with what to do. A GPU that has no memory left is there, and
 * no reason to go on a hundred times slower: SB_DEVICE_FULL, for auto, too. plugin: the CUDA
 * device's file; "": sb_cuda.so beside the program. `threads` are the CPU device's. */
int sb_device_open(sb_device **out, sb_device_choice choice, const char *plugin, int threads);

/* Says in one line what the device is and why it was taken. */
void sb_device_introduce(const sb_device *device);

/* Says in one line how the device planned what was created so far, where there is something to say. */
void sb_device_planned(const sb_device *device);

/* device->pin, for memory that is copied from or to again and again, until the device is closed. Where it is
 * refused, copies are slower and as right: a note says so. */
void sb_device_pin(sb_device *device, void *host, size_t bytes);

#endif
