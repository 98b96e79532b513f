/* softmax.c: see softmax.h. */
#include "kernels/op/softmax.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_softmax_how *h = how;
    const sb_shape *offset = &xs[1];
    if (sb_shape_check_f32("softmax", &xs[0]) != 0 ||
        (offset->n > 0 && sb_shape_check_f32("softmax", offset) != 0))
        return -1;
    if (!(h->temperature > 0))
        return sb_fail("softmax at temperature %g", (double)h->temperature);
    if (offset->n > 0 && (sb_shape_rows(offset) != 1 || offset->c != xs[0].c))
        return sb_fail("softmax of %d columns with an offset [%zu, %d]: it has one row of as many", xs[0].c,
                       sb_shape_rows(offset), offset->c);
    *y = xs[0];
    return 0;
}

/* An exponential counts as one operation. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how, (void)backward;
    double values = (double)sb_shape_elements(&xs[0]);
    return (sb_cost){ .bytes = sizeof(float) * 2 * values, .operations = 5 * values };
}

const sb_op sb_op_softmax = { .name = "softmax", .inputs = 2, .shape = shape, .cost = cost };
