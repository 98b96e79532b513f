/* tokens.h: what a vision transformer begins with (Dosovitskiy et al. 2021): the places of a map in a row,
 * behind a class token and registers (Darcet et al. 2024), and a learned position added to each:
 *
 *     y_n = [class, registers, x_n] + [position of each of these, table resized to h x w]
 *
 * x: [n, h, w, c]. y: [n, 1, prefix + h w, c]; without prefix [n, h, w, c]. Weights: "cls_token" [1, 1, c],
 * "reg_token" [1, registers, c], "pos_embed" [1, prefix + grid^2, c], as timm has them.
 * The table's grid x grid places become h x w by bicubic interpolation, anti-aliased where they get fewer
 * (timm's resample_abs_pos_embed): a matrix for each axis, whose transposes are the way back. */
#ifndef SB_KERNELS_OP_TOKENS_H
#define SB_KERNELS_OP_TOKENS_H

#include "kernels/op.h"
#include "kernels/share/resample.h"

typedef struct {
    int grid; /* places on a side of the table */
    bool class_token;
    int registers;
} sb_tokens_how;

SB_SHARED int sb_tokens_prefix(const sb_tokens_how *how) { return how->class_token + how->registers; }

enum { SB_TOKENS_CLASS, SB_TOKENS_REGISTERS, SB_TOKENS_POSITIONS }; /* the weights */

/* What both devices know of a call. */
typedef struct {
    sb_type type;
    int images, h, w, width, grid, registers, prefix;
    bool class_token, resized;
} sb_tokens;

static inline sb_tokens sb_tokens_of(const sb_call *call)
{
    const sb_tokens_how *how = (const sb_tokens_how *)call->how;
    const sb_shape *x = &call->xs[0];
    return (sb_tokens){ .type = x->type,
                        .images = x->n,
                        .h = x->h,
                        .w = x->w,
                        .width = x->c,
                        .grid = how->grid,
                        .registers = how->registers,
                        .prefix = sb_tokens_prefix(how),
                        .class_token = how->class_token,
                        .resized = x->h != how->grid || x->w != how->grid };
}

/* Scratch, in floats: the matrices [h, grid] and [w, grid]; the table with one axis resized, [h, grid, c];
 * what lies along y, [prefix + h w, c]. */
typedef struct {
    float *rows, *columns, *half, *whole;
} sb_tokens_work;

static inline size_t sb_tokens_scratch(const sb_tokens *s)
{
    const size_t h = (size_t)s->h, w = (size_t)s->w, grid = (size_t)s->grid, width = (size_t)s->width;
    return (h + w) * grid + h * grid * width + ((size_t)s->prefix + h * w) * width;
}

static inline sb_tokens_work sb_tokens_lay_out(const sb_tokens *s, void *scratch)
{
    const size_t grid = (size_t)s->grid;
    sb_tokens_work w;
    w.rows = (float *)scratch;
    w.columns = w.rows + (size_t)s->h * grid;
    w.half = w.columns + (size_t)s->w * grid;
    w.whole = w.half + (size_t)s->h * grid * (size_t)s->width;
    return w;
}

#endif
