/* attention.h: multi-head attention within each image (Vaswani et al. 2017), of queries, keys and values that
 * one linear layer made; or of queries to keys and values that two made, of other places (cross-attention):
 *
 *     s_ij = <q_i, k_j> / sqrt(size),  p_ij = exp(s_ij - lse_i),  lse_i = log sum_j exp(s_ij)
 *     y_i  = sum_j p_ij v_j
 *     dv_j = sum_i p_ij dy_i,  dk_j = sum_i e_ij q_i / sqrt(size),  dq_i = sum_j e_ij k_j / sqrt(size)
 *     e_ij = p_ij (<dy_i, v_j> - <dy_i, y_i>)
 *
 * x[0]: [n, h, w, 3 width], in each row q, then k, then v, each of `heads` runs of `size` = width / heads
 * channels; and no x[1]. Or x[0]: [n, h, w, width], q, and x[1]: [n, h', w', 2 width] of the same type, k,
 * then v. y: [n, h, w, width]; i and j are places of one image. aux: lse, f32 [n, h, w, heads]. The matrix of
 * all pairs is never in memory (Dao et al. 2022): backward computes its tiles again. */
#ifndef SB_KERNELS_OP_ATTENTION_H
#define SB_KERNELS_OP_ATTENTION_H

#include "kernels/op.h"

#define SB_ATTENTION_SIZE_MAX 64 /* channels of a head */

typedef struct {
    int heads;
} sb_attention_how;

typedef enum { SB_ATTENTION_Q, SB_ATTENTION_K, SB_ATTENTION_V } sb_attention_part;

/* What both devices know of a call: how many queries and keys an image has, and whether x[1] has the keys. */
typedef struct {
    sb_type type;
    int images, queries, keys, heads, size;
    bool cross;
} sb_attention;

static inline sb_attention sb_attention_of(const sb_call *call)
{
    const sb_shape *x = &call->xs[0], *of_keys = &call->xs[call->xs[1].n > 0];
    const int heads = ((const sb_attention_how *)call->how)->heads;
    return (sb_attention){ .type = x->type,
                           .images = x->n,
                           .queries = x->h * x->w,
                           .keys = of_keys->h * of_keys->w,
                           .heads = heads,
                           .size = x->c / (of_keys == x ? 3 : 1) / heads,
                           .cross = of_keys != x };
}

/* Which input has a part, and how many parts a row of it has. */
SB_SHARED int sb_attention_input(const sb_attention *s, sb_attention_part part)
{
    return s->cross && part != SB_ATTENTION_Q;
}
SB_SHARED int sb_attention_parts(const sb_attention *s, sb_attention_part part)
{
    return !s->cross ? 3 : part == SB_ATTENTION_Q ? 1 : 2;
}

/* How many rows an image has of a part; and of all images' rows, the one of place i of an image. */
SB_SHARED int sb_attention_rows(const sb_attention *s, sb_attention_part part)
{
    return part == SB_ATTENTION_Q ? s->queries : s->keys;
}
SB_SHARED size_t sb_attention_row(const sb_attention *s, sb_attention_part part, int image, int i)
{
    return (size_t)image * (size_t)sb_attention_rows(s, part) + (size_t)i;
}

/* The first channel of head `head` of row `row` (of all images') of a part, in its input; and in y. */
SB_SHARED size_t sb_attention_x(const sb_attention *s, sb_attention_part part, size_t row, int head)
{
    const size_t width = (size_t)s->heads * (size_t)s->size,
                 before = (size_t)part - (size_t)sb_attention_input(s, part);
    return ((size_t)sb_attention_parts(s, part) * row + before) * width + (size_t)head * (size_t)s->size;
}
SB_SHARED size_t sb_attention_y(const sb_attention *s, size_t row, int head)
{
    return (row * (size_t)s->heads + (size_t)head) * (size_t)s->size;
}

#endif
