/* patch_error.h: how far predicted patches are off (He et al. 2022, section 3): for each image, the mean over
 * its predicted cells of the mean squared difference to the patch's pixels, which are normalised as an
 * encoder's input (input.h), and then by the patch's own mean and deviation:
 *
 *     y_n = mean over k, i of (x_nki - t_nki)^2,  t_nki = (v_nki - mean_i v_nk) / sqrt(var_i v_nk + 1e-6)
 *
 * with the variance that divides by one less than the values of a patch (of one value: none, t = 0).
 * x[0]: predictions, f32, bf16 or f16 [n, 1, m, side^2 channels], pixels of a patch row by row and channels
 * fastest. x[1]: pixels, u8 [n, h, w, channels]. x[2]: cells, i32 [n, 1, m, 1], numbers in the grid of w /
 * side columns, which no device looks at. y: f32 [n, 1, 1, 1]. aux: f32 [n, 1, m, 2], each patch's mean and
 * what its values are multiplied by. The gradient is that of the predictions. */
#ifndef SB_KERNELS_OP_PATCH_ERROR_H
#define SB_KERNELS_OP_PATCH_ERROR_H

#include <math.h>

#include "kernels/op/input.h"

#define SB_PATCH_EPSILON 1e-6

typedef struct {
    int side;           /* of a cell, in pixels */
    sb_input_how input; /* its type is not looked at */
} sb_patch_error_how;

/* What both devices know of a call. */
typedef struct {
    sb_type type;
    int images, cells, side, channels, values; /* cells: of an image; values: of a patch */
    int width, columns;                        /* of the pixels; of the grid */
    size_t image_bytes;
} sb_patch_error;

static inline sb_patch_error sb_patch_error_of(const sb_call *call)
{
    const sb_patch_error_how *how = (const sb_patch_error_how *)call->how;
    const sb_shape *x = &call->xs[0], *pixels = &call->xs[1];
    return (sb_patch_error){ .type = x->type,
                             .images = x->n,
                             .cells = x->w,
                             .side = how->side,
                             .channels = pixels->c,
                             .values = x->c,
                             .width = pixels->w,
                             .columns = pixels->w / how->side,
                             .image_bytes = (size_t)pixels->h * (size_t)pixels->w * (size_t)pixels->c };
}

/* Where value i of a patch lies in the pixels: patch `patch` of all images', which is this cell. */
SB_SHARED size_t sb_patch_error_pixel(const sb_patch_error *s, size_t patch, int cell, int i)
{
    const int run = s->side * s->channels, row = cell / s->columns * s->side + i / run,
              column = cell % s->columns * s->side;
    return patch / (size_t)s->cells * s->image_bytes +
           ((size_t)row * (size_t)s->width + (size_t)column) * (size_t)s->channels + (size_t)(i % run);
}

/* What a patch's values are multiplied by, for the sum of the squares of their differences to their mean. */
SB_SHARED float sb_patch_error_factor(const sb_patch_error *s, double squares)
{
    return (float)(1 / sqrt((s->values > 1 ? squares / (s->values - 1) : 0) + SB_PATCH_EPSILON));
}

#endif
