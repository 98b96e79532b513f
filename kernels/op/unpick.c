/* unpick.c: see unpick.h. */
#include "kernels/op/unpick.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_unpick_how *h = how;
    const sb_shape *pixels = &xs[2];
    if (sb_shape_check_real("unpick", xs) != 0 || sb_pick_check_index("unpick", &xs[1], xs->n) != 0)
        return -1;
    if (h->side < 1 || xs->h != h->side || xs->w != xs[1].w * h->side)
        return sb_fail("unpick of %d x %d places as %d cells of %d x %d", xs->h, xs->w, xs[1].w, h->side,
                       h->side);
    const int cell = h->stride < 1 || h->stride > pixels->h ? 0 : h->side * h->stride;
    if (pixels->type != SB_U8 || pixels->n != xs->n || cell < 1 || pixels->h % cell != 0 ||
        pixels->w % cell != 0 || xs[1].w > pixels->h / cell * (pixels->w / cell))
        return sb_fail("unpick of %d cells of %d x %d places, %d pixels each, in %s [%d, %d, %d, %d]",
                       xs[1].w, h->side, h->side, h->stride, sb_type_name(pixels->type), pixels->n, pixels->h,
                       pixels->w, pixels->c);
    *y = (sb_shape){ xs->n, pixels->h / h->stride, pixels->w / h->stride, xs->c, xs->type };
    return sb_shape_check_real("unpick to a map", y);
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(1); }

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    if (((const sb_unpick_how *)how)->token)
        w[0] = (sb_extent){ 1, { xs->c }, "mask_token", .init = SB_INIT_NORMAL, .size = .02f };
}

/* The whole of y or dy, and what is visible of it. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_unpick_how *h = how;
    const int rows = xs[2].h / h->stride, columns = xs[2].w / h->stride;
    const double map = (double)xs[2].n * rows * columns * xs->c;
    return (sb_cost){ .bytes = (double)sb_type_bytes(xs->type) * map + (double)sb_shape_bytes(xs),
                      .operations = backward && h->token ? map : 0 };
}

const sb_op sb_op_unpick = {
    .name = "unpick", .inputs = 3, .shape = shape, .keeps = keeps, .weights = weights, .cost = cost
};
