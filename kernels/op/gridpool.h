/* gridpool.h: a map averaged to a grid of at most `most` x `most` cells: x [n, side, side, c], f32, bf16 or
 * f16 -> y f32 [n, grid, grid, c], grid = min(side, most). A map of one row is tokens: behind the `first`
 * leading ones, of no place, stand the side x side places, row by row (tokens.h).
 *
 * Cell i of a side is the mean over the places from floor(i side / grid) to ceil((i + 1) side / grid) - 1, so
 * neighbours share a place where `grid` does not divide `side` (PyTorch's adaptive_avg_pool2d). Where
 * grid = side, it is a conversion. dx has the type of x, and is 0 at the leading tokens. */
#ifndef SB_KERNELS_OP_GRIDPOOL_H
#define SB_KERNELS_OP_GRIDPOOL_H

#include "kernels/op.h"

#define SB_GRIDPOOL_SIDE_MAX 32767 /* so that (side + 1) side fits an int */

typedef struct {
    int first, most;
} sb_gridpool_how;

/* A call as the devices see it. */
typedef struct {
    int images, first, side, grid, channels;
} sb_gridpool;

/* Places along a side, of this many behind each other: the whole root; 0: there is none. */
static inline int sb_gridpool_root(int places)
{
    int side = 0;
    while ((int64_t)side * side < places)
        side++;
    return (int64_t)side * side == places ? side : 0;
}

static inline sb_gridpool sb_gridpool_of(const sb_gridpool_how *how, const sb_shape *x)
{
    const int side = x->h == 1 ? sb_gridpool_root(x->w - how->first) : x->h;
    sb_gridpool s = { x->n, how->first, side, side < how->most ? side : how->most, x->c };
    return s;
}

/* What cell i of `grid` covers of a side: begin .. end - 1. With both sizes changed about, the cells that
 * cover place i. */
SB_SHARED int sb_gridpool_begin(int i, int side, int grid) { return i * side / grid; }
SB_SHARED int sb_gridpool_end(int i, int side, int grid) { return ((i + 1) * side + grid - 1) / grid; }
SB_SHARED int sb_gridpool_length(int i, int side, int grid)
{
    return sb_gridpool_end(i, side, grid) - sb_gridpool_begin(i, side, grid);
}

/* The row of x that a place is. */
SB_SHARED size_t sb_gridpool_row(const sb_gridpool *s, int image, int y, int x)
{
    const size_t side = (size_t)s->side, first = (size_t)s->first;
    return (size_t)image * (first + side * side) + first + (size_t)y * side + (size_t)x;
}

#endif
