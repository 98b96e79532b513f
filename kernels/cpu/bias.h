/* bias.h: the gradient of a bias of every channel, for the operations that have one. Private to kernels/cpu.
 */
#ifndef SB_KERNELS_CPU_BIAS_H
#define SB_KERNELS_CPU_BIAS_H

#include "kernels/cpu/cpu.h"

/* dbias [c] += the sums of the columns of dy, in either layout: in f64, in the order of the rows. */
void sb_cpu_bias_back(const sb_shape *y, const void *dy, float *dbias);

#endif
