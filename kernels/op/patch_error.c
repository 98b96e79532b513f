/* patch_error.c: see patch_error.h. */
#include "kernels/op/patch_error.h"

#include "kernels/op/pick.h"
#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const int side = ((const sb_patch_error_how *)how)->side;
    const sb_shape *pixels = &xs[1], *cells = &xs[2];
    if (sb_shape_check_real("patch_error", xs) != 0 || sb_pick_check_index("patch_error", cells, xs->n) != 0)
        return -1;
    if (pixels->type != SB_U8 || pixels->n != xs->n || pixels->c < 1 || pixels->c > SB_INPUT_CHANNELS_MAX ||
        side < 1 || side > pixels->h || side > pixels->w)
        return sb_fail("patch_error of %d images by cells of %d x %d pixels in %s [%d, %d, %d, %d]", xs->n,
                       side, side, sb_type_name(pixels->type), pixels->n, pixels->h, pixels->w, pixels->c);
    if (xs->h != 1 || xs->w != cells->w || (int64_t)side * side * pixels->c != xs->c)
        return sb_fail("patch_error of %d x %d patches of %d values: %d of %d x %d pixels and %d channels "
                       "were expected",
                       xs->h, xs->w, xs->c, cells->w, side, side, pixels->c);
    *y = (sb_shape){ xs->n, 1, 1, 1, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_X(1) | SB_KEEPS_X(2) | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    return (void)how, (sb_shape){ xs->n, 1, xs->w, 2, SB_F32 };
}

/* The predictions and their pixels; backward the gradient, too. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const double values = (double)sb_shape_elements(xs);
    (void)how;
    return (sb_cost){ .bytes = values + (backward ? 2 : 1) * (double)sb_shape_bytes(xs),
                      .operations = (backward ? 6 : 12) * values };
}

const sb_op sb_op_patch_error = { .name = "patch_error",
                                  .inputs = 3,
                                  .shape = shape,
                                  .keeps = keeps,
                                  .over = { SB_KEEPS_X(0) },
                                  .aux = aux,
                                  .cost = cost };
