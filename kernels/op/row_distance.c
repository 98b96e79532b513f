/* row_distance.c: see row_distance.h. */
#include "kernels/op/row_distance.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = (sb_shape){ xs->n, xs->h, xs->w, 1, SB_F32 };
    return sb_shape_check_alike("row_distance", &xs[0], &xs[1]);
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_X(1);
}

/* Forward both inputs and y; backward both inputs, dy, and both gradients. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs), rows = (double)sb_shape_rows(xs);
    return (sb_cost){ .bytes = sizeof(float) * ((backward ? 4 : 2) * values + rows),
                      .operations = 3 * values };
}

const sb_op sb_op_row_distance = {
    .name = "row_distance", .inputs = 2, .shape = shape, .keeps = keeps, .cost = cost
};
