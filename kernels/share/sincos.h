/* sincos.h: fixed positions of two axes (Vaswani et al. 2017; He et al. 2022), the same on every device (C
 * and CUDA C compile this file): of `width` numbers, a multiple of 4, the first half says the column of a
 * place, the second its row, each by the sines and then the cosines of width / 4 frequencies. */
#ifndef SB_KERNELS_SINCOS_H
#define SB_KERNELS_SINCOS_H

#include <math.h>

#include "kernels/share/share.h"

/* Number i of the width / 2 that say where `place` lies on an axis. */
SB_SHARED float sb_sincos_axis(int width, int place, int i)
{
    const int frequencies = width > 3 ? width / 4 : 1;
    const double angle = place * pow(10000.0, -(double)(i % frequencies) / frequencies);
#ifdef __CUDA_ARCH__ /* nvcc's sin and cos take local memory, for angles beyond a hundred thousand */
    return (float)(i < frequencies ? sinpi(angle * M_1_PI) : cospi(angle * M_1_PI));
#else
    return (float)(i < frequencies ? sin(angle) : cos(angle));
#endif
}

#endif
