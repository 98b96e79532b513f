/* times.c: see times.h. */
#include "kernels/op/times.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    const bool by_row = xs[1].c == 1 && sb_shape_rows(&xs[1]) == sb_shape_rows(&xs[0]),
               by_one = xs[1].n > 0 && sb_shape_elements(&xs[1]) == 1;
    *y = xs[0];
    if (!by_row && !by_one)
        return sb_shape_check_alike("times", &xs[0], &xs[1]);
    return sb_shape_check_f32("times", &xs[0]) != 0 ? -1 : sb_shape_check_f32("times", &xs[1]);
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_X(1);
}

/* The inputs and y; or dy, the inputs and their gradients. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(&xs[0]), others = (double)sb_shape_elements(&xs[1]);
    return (sb_cost){ .bytes = sizeof(float) * (backward ? 3 * values + 2 * others : 2 * values + others),
                      .operations = (backward ? 2 : 1) * values };
}

const sb_op sb_op_times = { .name = "times", .inputs = 2, .shape = shape, .keeps = keeps, .cost = cost };
