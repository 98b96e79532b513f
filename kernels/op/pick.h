/* pick.h: of each image the rows of some of its places, by number, behind the tokens of no place:
 *
 *     y_n = [x_n's first `prefix` rows, x_n's row prefix + index_nk for k = 0, 1, ...]
 *
 * x[0]: f32, bf16 or f16 [n, h, w, c], h w - prefix places. x[1]: index, i32 [n, 1, k, 1], each from 0 on and
 * none of them twice in an image: no device looks, so whoever uploads numbers has checked them. y: [n, 1,
 * prefix + k, c]. Backward: dx has the rows of dy where they came from, and zeros elsewhere; given to add, it
 * touches no row that is not taken. */
#ifndef SB_KERNELS_OP_PICK_H
#define SB_KERNELS_OP_PICK_H

#include "kernels/op.h"

typedef struct {
    int prefix;
} sb_pick_how;

/* What both devices know of a call. */
typedef struct {
    sb_type type;
    int images, places, prefix, taken, width; /* places: with the prefix; taken: without */
} sb_pick;

static inline sb_pick sb_pick_of(const sb_call *call)
{
    const sb_shape *x = &call->xs[0];
    return (sb_pick){ x->type,       x->n, x->h * x->w, ((const sb_pick_how *)call->how)->prefix,
                      call->xs[1].w, x->c };
}

/* Row r of image n of y is which row of x, of all images'. */
SB_SHARED size_t sb_pick_row(const sb_pick *s, const int32_t *index, int n, int r)
{
    const int place = r < s->prefix
                          ? r
                          : s->prefix + index[(size_t)n * (size_t)s->taken + (size_t)(r - s->prefix)];
    return (size_t)n * (size_t)s->places + (size_t)place;
}

/* A check for the `shape` of an operation: -1 if this is no index of so many images. */
int sb_pick_check_index(const char *operation, const sb_shape *index, int images);

#endif
