/* resample.h: the weights of the separable filters that views and tables of positions need, the same on every
 * device (C and CUDA C compile this file). */
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

/* Keys' cubic convolution (1981) with a = -1/2. */
SB_SHARED double sb_cubic(double distance)
{
    const double d = fabs(distance);
    return d < 1 ? (1.5 * d - 2.5) * d * d + 1 : d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
}

/* Row i of the matrix [out, in] of PyTorch's anti-aliased bicubic interpolation, whole: support 2, widened by
 * the scale where the axis shrinks. */
SB_SHARED void sb_cubic_row(int in, int out, int i, float *row)
{
    const double scale = (double)in / out, wider = scale >= 1 ? scale : 1, centre = scale * (i + 0.5);
    const int begin = (int)(centre - 2 * wider + 0.5), end = (int)(centre + 2 * wider + 0.5);
    double total = 0;
    for (int k = begin > 0 ? begin : 0; k < in && k < end; k++)
        total += sb_cubic((k - centre + 0.5) / wider);
    for (int k = 0; k < in; k++)
        row[k] = k >= begin && k < end ? (float)(sb_cubic((k - centre + 0.5) / wider) / total) : 0;
}

/* How many weights the blur of a view has: a tenth of the view's side (SimCLR), odd, at least 3. */
SB_SHARED int sb_blur_width(int size)
{
    int width = (size / 10) | 1;
    return width < 3 ? 3 : width;
}

/* Weight k of them, before they are divided by their sum. */
SB_SHARED float sb_blur_weight(int width, float sigma, int k)
{
    const int middle = width / 2;
    const double d = (k - middle) / (double)sigma;
    return (float)exp(-0.5 * d * d);
}

SB_SHARED void sb_blur_weights(int width, float sigma, float *weight)
{
    double total = 0;
    for (int k = 0; k < width; k++) {
        weight[k] = sb_blur_weight(width, sigma, k);
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
