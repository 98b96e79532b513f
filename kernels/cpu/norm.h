/* norm.h: the norms of kernels/op/norm.h on the CPU. Private to kernels/cpu. */
#ifndef SB_KERNELS_CPU_NORM_H
#define SB_KERNELS_CPU_NORM_H

#include "kernels/op/norm.h"

/* threads: the device's. */
size_t sb_cpu_norm_scratch(int threads, const sb_norm *norm);

/* given: statistics to normalise with; NULL: those of x, which go to aux. */
void sb_cpu_norm_forward(int threads, const sb_norm *norm, const sb_call *call, const float *given);
void sb_cpu_norm_backward(int threads, const sb_norm *norm, const sb_call *call);

/* Of one whose statistics were given. */
void sb_cpu_norm_backward_given(int threads, const sb_norm *norm, const sb_call *call, const float *given);

#endif
