/* avgpool.h: global average pooling: x [n, h, w, c], f32, bf16 or f16 -> y f32 [n, 1, 1, c], the mean over
 * the places `first`, first + 1, ... of h w, row by row: `count` of them, or with 0 all that follow. So it
 * takes the places behind a prefix of tokens, or one token (tokens.h). */
#ifndef SB_KERNELS_OP_AVGPOOL_H
#define SB_KERNELS_OP_AVGPOOL_H

#include "kernels/op.h"

typedef struct {
    int first, count;
} sb_avgpool_how;

/* How many places the mean is over. */
static inline int sb_avgpool_count(const sb_avgpool_how *how, const sb_shape *x)
{
    return how->count > 0 ? how->count : x->h * x->w - how->first;
}

#endif
