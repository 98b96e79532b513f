/* resample.h: the weights of the two separable filters that views need, the same on every device (C and CUDA
 * C compile this file). */
#ifndef SB_KERNELS_RESAMPLE_H
#define SB_KERNELS_RESAMPLE_H

#include <math.h>

#include "kernels/share/share.h"

/* The largest number of weights that one output pixel has, when `in` pixels become `out`. */
SB_SHARED int sb_resize_taps(int in, int out) { return 2 * ((in + out - 1) / out) + 3; }

/* Output i of an axis is the sum over k < (returned count) of weight[k] times input *first + k. The triangle
 * filter of PyTorch's anti-aliased bilinear interpolation: support 1, widened by the scale where the image
 * shrinks. */
SB_SHARED int sb_resize_weights(int in, int out, int i, int *first, float *weight)
{
    double scale = (double)in / out, support = scale >= 1 ? scale : 1, inverse = scale >= 1 ? 1 / scale : 1;
    double centre = scale * (i + 0.5), total = 0;
    int begin = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
    begin = begin > 0 ? begin : 0;
    end = end < in ? end : in;
    for (int k = 0; k < end - begin; k++) {
        double d = fabs((begin + k - centre + 0.5) * inverse), value = d < 1 ? 1 - d : 0;
        weight[k] = (float)value;
        total += value;
    }
    for (int k = 0; k < end - begin; k++)
        weight[k] = (float)(weight[k] / total);
    *first = begin;
    return end - begin;
}

/* How many weights the blur of a view has: a tenth of the view's side (SimCLR), odd, at least 3. */
SB_SHARED int sb_blur_width(int size)
{
    int width = (size / 10) | 1;
    return width < 3 ? 3 : width;
}

SB_SHARED void sb_blur_weights(int width, float sigma, float *weight)
{
    int middle = width / 2;
    double total = 0;
    for (int k = 0; k < width; k++) {
        double d = (k - middle) / (double)sigma;
        weight[k] = (float)exp(-0.5 * d * d);
        total += weight[k];
    }
    for (int k = 0; k < width; k++)
        weight[k] = (float)(weight[k] / total);
}

/* Index i of an axis whose edges are mirrored, without repeating the edge; |i| < 2 size - 1. */
SB_SHARED int sb_reflect(int i, int size)
{
    if (size == 1)
        return 0;
    i = i < 0 ? -i : i;
    return i >= size ? 2 * (size - 1) - i : i;
}

#endif
