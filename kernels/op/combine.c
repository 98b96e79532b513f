/* combine.c: see combine.h. */
#include "kernels/op/combine.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = xs[0];
    return xs[1].n > 0 ? sb_shape_check_alike("combine", &xs[0], &xs[1])
                       : sb_shape_check_f32("combine", &xs[0]);
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, 0; }

/* The inputs and y, or their gradients. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs), inputs = xs[1].n > 0 ? 2 : 1;
    return (sb_cost){ .bytes = sizeof(float) * (inputs + 1) * values,
                      .operations = (backward ? inputs : 2 * inputs) * values };
}

const sb_op sb_op_combine = { .name = "combine", .inputs = 2, .shape = shape, .keeps = keeps, .cost = cost };
