/* mask.c: see mask.h. */
#include "kernels/op/mask.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    const sb_shape *marks = &xs[1];
    if (sb_shape_check_f32("mask", xs) != 0)
        return -1;
    if (marks->n > 0 &&
        (marks->type != SB_U8 || sb_shape_rows(marks) != sb_shape_rows(xs) || marks->c != xs->c))
        return sb_fail("mask of [%zu, %d]: what is left out is marked in %s [%zu, %d]", sb_shape_rows(xs),
                       xs->c, sb_type_name(marks->type), sb_shape_rows(marks), marks->c);
    *y = *xs;
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, xs[1].n > 0 ? SB_KEEPS_X(1) : 0;
}

/* x and y, or dy and dx; the marks. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how, (void)backward;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = sizeof(float) * 2 * values + (double)sb_shape_elements(&xs[1]),
                      .operations = values };
}

const sb_op sb_op_mask = { .name = "mask", .inputs = 2, .shape = shape, .keeps = keeps, .cost = cost };
