/* pick.h: of each image the rows of some of its places, by number, behind the tokens of no place:
 *
 *     y_n = [x_n's first `prefix` rows, x_n's row prefix + index_nk for k = 0, 1, ...]
 *
 * or, with `side` > 1 and no prefix, some of its cells of side x side places, which come to stand side by
 * side: y_n is as high as a cell, and place (i, j) of the k-th cell that is taken is y_n's (i, k side + j).
 * What convolutions of one place, or of windows that no edge of a cell cuts, make of y is what they make of
 * those cells in x.
 *
 * x[0]: f32, bf16 or f16 [n, h, w, c], h w - prefix places, or h / side x w / side cells. x[1]: index, i32
 * [n, 1, k, 1], each from 0 on, row by row, and none of them twice in an image: no device looks, so whoever
 * uploads numbers has checked them. y: [n, side, prefix + k side, c]. Backward: dx has the rows of dy where
 * they came from, and zeros elsewhere; given to add, it touches no row that is not taken. */
#ifndef SB_KERNELS_OP_PICK_H
#define SB_KERNELS_OP_PICK_H

#include "kernels/op.h"

typedef struct {
    int prefix, side; /* of a cell; 0: 1 */
} sb_pick_how;

/* What both devices know of a call. */
typedef struct {
    sb_type type;
    int images, places, prefix, taken, width; /* places: with the prefix; taken: cells */
    int side, across, columns;                /* of a cell; places across x; cells across x */
    int rows;                                 /* of an image in y */
} sb_pick;

static inline sb_pick sb_pick_of(const sb_call *call)
{
    const sb_pick_how *how = (const sb_pick_how *)call->how;
    const sb_shape *x = &call->xs[0];
    const int side = how->side > 1 ? how->side : 1;
    return (sb_pick){ .type = x->type,
                      .images = x->n,
                      .places = x->h * x->w,
                      .prefix = how->prefix,
                      .taken = call->xs[1].w,
                      .width = x->c,
                      .side = side,
                      .across = x->w,
                      .columns = x->w / side,
                      .rows = call->ys.h * call->ys.w };
}

/* Of a map of `across` x ... places in cells of side x side, `columns` of them in a row: place (i, j) of a
 * cell. */
SB_SHARED size_t sb_pick_place(int side, int across, int columns, int cell, int i, int j)
{
    return (size_t)(cell / columns * side + i) * (size_t)across + (size_t)(cell % columns * side + j);
}

/* Row r of image n of y is which row of x, of all images'. */
SB_SHARED size_t sb_pick_row(const sb_pick *s, const int32_t *index, int n, int r)
{
    const size_t first = (size_t)n * (size_t)s->places;
    const int32_t *cells = index + (size_t)n * (size_t)s->taken;
    if (s->side == 1) /* tokens, too, whose places have no rows and columns */
        return first + (size_t)(r < s->prefix ? r : s->prefix + cells[r - s->prefix]);
    const int length = s->taken * s->side, j = r % length;
    return first + sb_pick_place(s->side, s->across, s->columns, cells[j / s->side], r / length, j % s->side);
}

/* A check for the `shape` of an operation: -1 if this is no index of so many images. */
int sb_pick_check_index(const char *operation, const sb_shape *index, int images);

#endif
