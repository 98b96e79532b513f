/* match.h: for each place of an image, what the most similar place of another image has (DenseCL, Wang et al.
 * 2021, section 3.3), f32:
 *
 *     y_im = v_ij,   j = argmax over the places of image i of <a_im, b_ij>, the first of equal ones
 *
 * x[0]: a [n, h, w, c]. x[1]: b [n, h', w', c]. x[2]: v [n, h', w', d]. y: [n, h, w, d]. There is no
 * gradient. Rows of unit length make the product a cosine. Products are in memory for SB_MATCH_BAND places of
 * one image at a time. */
#ifndef SB_KERNELS_OP_MATCH_H
#define SB_KERNELS_OP_MATCH_H

#include "kernels/op.h"

#define SB_MATCH_BAND 256

/* A call as the devices see it. */
typedef struct {
    int images, places, others; /* places: of an image of a; others: of b */
    int columns, out;           /* c, d */
    int band;                   /* places that are looked for at once */
} sb_match;

static inline sb_match sb_match_of(const sb_call *call)
{
    const sb_shape *a = &call->xs[0], *b = &call->xs[1];
    const int places = a->h * a->w;
    sb_match s = { a->n, places,        b->h * b->w,
                   a->c, call->xs[2].c, places < SB_MATCH_BAND ? places : SB_MATCH_BAND };
    return s;
}

static inline size_t sb_match_bytes(const sb_match *s)
{
    return (size_t)s->band * (size_t)s->others * sizeof(float);
}

#endif
