/* deviation.c: see deviation.h. */
#include "kernels/op/deviation.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_deviation_how *h = how;
    const size_t rows = sb_shape_rows(xs);
    if (sb_shape_check_f32("deviation", xs) != 0)
        return -1;
    if (h->samples < 2 || rows % (size_t)h->samples != 0)
        return sb_fail("deviation of %zu rows in groups of %d: rows must be a multiple of a group's, which "
                       "has 2 or more",
                       rows, h->samples);
    if (!(h->epsilon >= 0))
        return sb_fail("deviation with epsilon %g", (double)h->epsilon);
    *y = (sb_shape){ (int)(rows / (size_t)h->samples), 1, 1, xs->c, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_Y;
}

/* The means, and the squares or the gradient. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = (backward ? 4.0 * 2 : 4.0 * 1) * values, .operations = 4 * values };
}

const sb_op sb_op_deviation = {
    .name = "deviation", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost
};
