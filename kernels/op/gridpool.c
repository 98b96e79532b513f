/* gridpool.c: see gridpool.h. */
#include "kernels/op/gridpool.h"

#include <limits.h>

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_gridpool_how *h = how;
    if (sb_shape_check_real("gridpool", xs) != 0)
        return -1;
    if (h->most < 1 || h->first < 0)
        return sb_fail("gridpool to %d cells along a side, behind %d tokens", h->most, h->first);
    const sb_gridpool s = sb_gridpool_of(h, xs);
    if (xs->h == 1 ? s.side == 0 : xs->w != xs->h || h->first > 0)
        return sb_fail("gridpool of %d x %d places, %d of them in front: the rest must be a square", xs->h,
                       xs->w, h->first);
    if (s.side > SB_GRIDPOOL_SIDE_MAX || sb_shape_rows(xs) > INT_MAX)
        return sb_fail("gridpool of %d maps of %d x %d places: a side of %d, and %d rows, are the most",
                       xs->n, s.side, s.side, SB_GRIDPOOL_SIDE_MAX, INT_MAX);
    *y = (sb_shape){ s.images, s.grid, s.grid, s.channels, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, 0; }

static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_gridpool s = sb_gridpool_of(how, xs);
    const double cells = (double)s.images * s.grid * s.grid;
    (void)backward; /* moves as much */
    return (sb_cost){ .bytes = (double)sb_shape_bytes(xs) + cells * s.channels * sizeof(float) };
}

const sb_op sb_op_gridpool = {
    .name = "gridpool", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost
};
