/* square.c: see square.h. */
#include "kernels/op/square.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = *xs;
    return sb_shape_check_f32("square", xs);
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(0); }

/* Forward x, y; backward x, dy, dx. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = sizeof(float) * values * (backward ? 3 : 2), .operations = (backward ? 2 : 1) * values };
}

const sb_op sb_op_square = { .name = "square", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost };
