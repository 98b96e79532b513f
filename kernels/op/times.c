/* times.c: see times.h. */
#include "kernels/op/times.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = xs[0];
    return sb_shape_check_alike("times", &xs[0], &xs[1]);
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_X(1);
}

/* The inputs and y; or dy, the inputs and their gradients. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = (backward ? 4.0 * 5 : 4.0 * 3) * values,
                      .operations = (backward ? 2 : 1) * values };
}

const sb_op sb_op_times = { .name = "times", .inputs = 2, .shape = shape, .keeps = keeps, .cost = cost };
