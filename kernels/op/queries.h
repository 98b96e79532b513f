/* queries.h: what a decoder of hidden cells asks with (He et al. 2022): of each image, for each cell that is
 * named, one learned token and the cell's position, which is computed (share/sincos.h):
 *
 *     y_nk = token + position(row and column of cell_nk)
 *
 * x[0]: cells, i32 [n, 1, k, 1]: numbers in the grid, row by row, which no device looks at. x[1]: pixels, u8
 * [n, h, w, channels], of which the shape alone is read: the grid has w / side columns. y: of how.type, [n,
 * 1, k, width]. Weight: "mask_token" [1, 1, width]. */
#ifndef SB_KERNELS_OP_QUERIES_H
#define SB_KERNELS_OP_QUERIES_H

#include "kernels/op.h"
#include "kernels/share/sincos.h"

typedef struct {
    int side, width; /* of a cell, in pixels; a multiple of 4 */
    sb_type type;
} sb_queries_how;

/* What both devices know of a call. Scratch: the positions of an axis, f32 [longest, width / 2]. */
typedef struct {
    sb_type type;
    int columns, longest, width; /* of the grid: its columns, its longer side */
    size_t rows;                 /* of y */
} sb_queries;

static inline sb_queries sb_queries_of(const sb_call *call)
{
    const sb_queries_how *how = (const sb_queries_how *)call->how;
    const int rows = call->xs[1].h / how->side, columns = call->xs[1].w / how->side;
    return (sb_queries){ how->type, columns, rows > columns ? rows : columns, how->width,
                         sb_shape_elements(&call->xs[0]) };
}

static inline size_t sb_queries_axis_bytes(const sb_queries *s)
{
    return (size_t)s->longest * (size_t)(s->width / 2) * sizeof(float);
}

/* Channel c of the position of a cell, from the axis in scratch. */
SB_SHARED float sb_queries_position(const sb_queries *s, const float *axis, int cell, int c)
{
    const int half = s->width / 2, place = c < half ? cell % s->columns : cell / s->columns;
    return axis[(size_t)place * (size_t)half + (size_t)(c % half)];
}

#endif
