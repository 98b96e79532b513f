/* open.h: which device a program computes on. */
#ifndef SB_KERNELS_OPEN_H
#define SB_KERNELS_OPEN_H

#include "kernels/device.h"

typedef enum { SB_DEVICE_AUTO, SB_DEVICE_CPU, SB_DEVICE_CUDA } sb_device_choice;

/* Opens what is chosen. auto: the GPU, if the plug-in, its libraries, a driver and a GPU are
 * there; else the CPU. cuda: that, or an error with what to do. If the GPU is there and only its memory is
 * taken, the result is SB_DEVICE_FULL, for auto, too: the CPU would be a hundred times slower, so nobody is
 * moved to it unasked. plugin: the CUDA device's file; "": sb_cuda.so beside the program. `threads` are the
 * CPU device's. */
int sb_device_open(sb_device **out, sb_device_choice choice, const char *plugin, int threads);

/* Says in one line what the device is and why it was taken. */
void sb_device_introduce(const sb_device *device);

/* Says in one line how the device planned what was created so far, where there is something to say. */
void sb_device_planned(const sb_device *device);

/* device->pin, for memory that is copied from or to again and again, until the device is closed. If the
 * device refuses, a note says so: copies are slower then, and as right. */
void sb_device_pin(sb_device *device, void *host, size_t bytes);

#endif
