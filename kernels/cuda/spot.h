/* spot.h: the elements of a tensor [n, h, w, c] by their place, for GPU kernels in which a thread has a
 * value. Private to kernels/cuda. */
#ifndef SB_KERNELS_CUDA_SPOT_H
#define SB_KERNELS_CUDA_SPOT_H

#include "kernels/cuda/launch.h"

typedef struct {
    int n, row, column, channel;
} spot;

/* Element i of [n, h, w, c]. */
static __device__ inline spot spot_of(size_t i, const sb_shape &shape)
{
    spot s;
    s.channel = (int)(i % (size_t)shape.c);
    i /= (size_t)shape.c;
    s.column = (int)(i % (size_t)shape.w);
    i /= (size_t)shape.w;
    s.row = (int)(i % (size_t)shape.h);
    s.n = (int)(i / (size_t)shape.h);
    return s;
}

static __device__ inline size_t index_of(int n, int row, int column, int channel, const sb_shape &s)
{
    return (((size_t)n * (size_t)s.h + (size_t)row) * (size_t)s.w + (size_t)column) * (size_t)s.c +
           (size_t)channel;
}

#endif
