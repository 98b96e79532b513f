/* epps_pulley.c: see epps_pulley.h. */
#include "kernels/op/epps_pulley.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_epps_pulley_how *h = how;
    size_t rows = sb_shape_rows(xs);
    if (sb_shape_check_f32("epps_pulley", xs) != 0)
        return -1;
    if (h->samples < 1 || rows % (size_t)h->samples != 0)
        return sb_fail("epps_pulley of %zu rows in views of %d: rows must be a multiple of a view's", rows,
                       h->samples);
    if (h->knots < 2 || h->knots > SB_KNOTS_MAX)
        return sb_fail("epps_pulley with %d knots: 2 to %d", h->knots, SB_KNOTS_MAX);
    if (!(h->last > 0 && h->last < INFINITY))
        return sb_fail("epps_pulley with its last knot at %g", (double)h->last);
    *y = (sb_shape){ (int)(rows / (size_t)h->samples), 1, 1, xs->c, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    const sb_epps_pulley_how *h = how;
    return (sb_shape){ (int)(sb_shape_rows(xs) / (size_t)h->samples), h->knots, 2, xs->c, SB_F32 };
}

/* Forward x, y, and aux; backward x, dx, dy, and aux. A sine or cosine is one operation. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_epps_pulley_how *h = how;
    sb_shape kept = aux(how, xs);
    double values = (double)sb_shape_elements(xs), means = (double)sb_shape_elements(&kept);
    return (sb_cost){ .bytes = sizeof(float) * ((backward ? 2 : 1) * values + means + means / h->knots / 2),
                      .operations = (backward ? 6 : 4) * values * h->knots };
}

const sb_op sb_op_epps_pulley = {
    .name = "epps_pulley", .inputs = 1, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
