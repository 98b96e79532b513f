/* shapes.h: what the shapes of device.h mean, for every device (C and CUDA C compile this file): sizes that follow, who is left out of a
 * similarity, and what is refused. */
#ifndef SB_KERNELS_SHAPES_H
#define SB_KERNELS_SHAPES_H

#include "kernels/device.h"

#ifdef __CUDACC__
#define SB_SHAPES_FN static inline __host__ __device__
#else
#define SB_SHAPES_FN static inline
#endif

SB_SHAPES_FN int sb_conv_side(const sb_conv_shape *s, int side) { return (side + 2 * s->pad - s->kernel) / s->stride + 1; }

SB_SHAPES_FN int sb_maxpool_side(int side) { return (side - 1) / 2 + 1; }

/* Whether column j is left out of row i's sum. */
SB_SHAPES_FN bool sb_similarity_left_out(const sb_similarity_shape *s, const uint8_t *skip, int i, int j)
{
    int a = i % s->samples, b = j % s->samples;
    if (a == b)
        return i == j || s->no_positives;
    return skip && skip[(size_t)a * (size_t)s->samples + (size_t)b] != 0;
}

/* 0, or -1 with the shape's numbers in the error. */
int sb_conv_check(const sb_conv_shape *shape);
int sb_view_check(const sb_view_params *params, int count, int tile_width, int tile_height, int channels);

#endif
