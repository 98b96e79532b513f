/* queries.c: see queries.h. */
#include "kernels/op/queries.h"

#include "kernels/op/pick.h"
#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_queries_how *h = how;
    const sb_shape *pixels = &xs[1];
    if (sb_pick_check_index("queries", xs, pixels->n) != 0)
        return -1;
    if (pixels->type != SB_U8 || h->side < 1 || h->side > pixels->h || h->side > pixels->w)
        return sb_fail("queries: cells of %d x %d pixels in %s [%d, %d, %d, %d]", h->side, h->side,
                       sb_type_name(pixels->type), pixels->n, pixels->h, pixels->w, pixels->c);
    if (h->width < 4 || h->width % 4 != 0 || !sb_type_real(h->type))
        return sb_fail("queries of %d channels of %s: a multiple of 4 in f32, bf16 or f16 was expected",
                       h->width, sb_type_name(h->type));
    *y = (sb_shape){ xs->n, 1, xs->w, h->width, h->type };
    return sb_shape_check_real("queries", y);
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, 0; }

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    (void)xs;
    w[0] = (sb_extent){
        3, { 1, 1, ((const sb_queries_how *)how)->width }, "mask_token", .init = SB_INIT_NORMAL, .size = .02f
    };
}

/* y, or dy; the axis is small beside it. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_queries_how *h = how;
    const double values = (double)sb_shape_elements(xs) * h->width;
    (void)backward; /* reads as much as was written */
    return (sb_cost){ .bytes = values * (double)sb_type_bytes(h->type), .operations = values };
}

const sb_op sb_op_queries = {
    .name = "queries", .inputs = 2, .shape = shape, .keeps = keeps, .weights = weights, .cost = cost
};
