/* softplus.c: see softplus.h. */
#include "kernels/op/softplus.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = *xs;
    return sb_shape_check_f32("softplus", xs);
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(0); }

/* Forward x, y; backward x, dy, dx. An exponential and, forward, a logarithm count as one operation each. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = sizeof(float) * values * (backward ? 3 : 2),
                      .operations = (backward ? 4 : 3) * values };
}

const sb_op sb_op_softplus = {
    .name = "softplus", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost
};
