/* unpick.h: cells of places in their map again, the reverse of pick.h: what was not taken is zeros there, or
 * a learned token.
 *
 *     y_n's place (i, j) of cell index_nk = x_n's (i, k side + j);  of every other cell 0, or the token
 *
 * x[0]: f32, bf16 or f16 [n, side, k side, c]. x[1]: index, i32 [n, 1, k, 1]: numbers of cells of side x side
 * places, from 0 on, row by row, none twice in an image, which no device looks at. x[2]: pixels, u8
 * [n, h, w, channels], of which the shape alone is read: the map has h / stride x w / stride places. y: [n,
 * h / stride, w / stride, c]. Weight, where how.token: "mask_token" [c]. */
#ifndef SB_KERNELS_OP_UNPICK_H
#define SB_KERNELS_OP_UNPICK_H

#include "kernels/op/pick.h"

typedef struct {
    int side, stride; /* of a cell in places; pixels from place to place */
    bool token;
} sb_unpick_how;

/* What both devices know of a call. Scratch: of each cell of each image, which of those given it is, or -1:
 * i32 [images, cells]. */
typedef struct {
    sb_type type;
    int images, given, side, width; /* given: cells of an image */
    int across, columns, cells;     /* places across y; cells across it; cells of y */
    int places;                     /* of an image in y */
} sb_unpick;

static inline sb_unpick sb_unpick_of(const sb_call *call)
{
    const int side = ((const sb_unpick_how *)call->how)->side;
    const sb_shape *y = &call->ys;
    return (sb_unpick){ .type = y->type,
                        .images = y->n,
                        .given = call->xs[1].w,
                        .side = side,
                        .width = y->c,
                        .across = y->w,
                        .columns = y->w / side,
                        .cells = y->h / side * (y->w / side),
                        .places = y->h * y->w };
}

static inline size_t sb_unpick_scratch(const sb_unpick *s)
{
    return (size_t)s->images * (size_t)s->cells * sizeof(int32_t);
}

/* The row of x, of all images', that a place of image n of y is; -1: it is hidden. */
SB_SHARED int64_t sb_unpick_row(const sb_unpick *s, const int32_t *which, int n, int place)
{
    const int y = place / s->across, x = place % s->across, cell = y / s->side * s->columns + x / s->side,
              k = which[(size_t)n * (size_t)s->cells + (size_t)cell];
    return k < 0
               ? -1
               : (int64_t)((size_t)n * (size_t)(s->side * s->given * s->side) +
                           sb_pick_place(s->side, s->given * s->side, s->given, k, y % s->side, x % s->side));
}

#endif
