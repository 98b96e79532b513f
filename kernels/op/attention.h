/* attention.h: multi-head self-attention within each image (Vaswani et al. 2017), of queries, keys and values
 * that one linear layer made:
 *
 *     s_ij = <q_i, k_j> / sqrt(size),  p_ij = exp(s_ij - lse_i),  lse_i = log sum_j exp(s_ij)
 *     y_i  = sum_j p_ij v_j
 *     dv_j = sum_i p_ij dy_i,  dk_j = sum_i e_ij q_i / sqrt(size),  dq_i = sum_j e_ij k_j / sqrt(size)
 *     e_ij = p_ij (<dy_i, v_j> - <dy_i, y_i>)
 *
 * x: [n, h, w, 3 width], in each row q, then k, then v, each of `heads` runs of `size` = width / heads
 * channels. y: [n, h, w, width]; i and j are places of one image. aux: lse, f32 [n, h, w, heads].
 * The matrix of all pairs is never in memory (Dao et al. 2022): backward computes its tiles again. */
#ifndef SB_KERNELS_OP_ATTENTION_H
#define SB_KERNELS_OP_ATTENTION_H

#include "kernels/op.h"

#define SB_ATTENTION_SIZE_MAX 64 /* channels of a head */

typedef struct {
    int heads;
} sb_attention_how;

/* What both devices know of a call. */
typedef struct {
    sb_type type;
    int images, places, heads, size;
} sb_attention;

static inline sb_attention sb_attention_of(const sb_call *call)
{
    const sb_shape *x = &call->xs[0];
    const int heads = ((const sb_attention_how *)call->how)->heads;
    return (sb_attention){ x->type, x->n, x->h * x->w, heads, x->c / 3 / heads };
}

/* The first channel of head `head` of row `row` (of all images') in x, for q, k and v (which = 0, 1, 2); and
 * in y. */
SB_SHARED size_t sb_attention_x(const sb_attention *s, int which, size_t row, int head)
{
    const size_t width = (size_t)s->heads * (size_t)s->size;
    return (3 * row + (size_t)which) * width + (size_t)head * (size_t)s->size;
}
SB_SHARED size_t sb_attention_y(const sb_attention *s, size_t row, int head)
{
    return (row * (size_t)s->heads + (size_t)head) * (size_t)s->size;
}

#endif
