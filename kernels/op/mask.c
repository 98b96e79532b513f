/* mask.c: see mask.h. */
#include "kernels/op/mask.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    if (sb_shape_check_f32("mask", xs) != 0)
        return -1;
    if (sb_shape_check_places("mask", &xs[1], sb_shape_rows(xs), (size_t)xs->c) != 0)
        return -1;
    *y = *xs;
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, xs[1].n > 0 ? SB_KEEPS_X(1) : 0;
}

/* x and y, or dy and dx; the places. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how, (void)backward;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = sizeof(float) * 2 * values + (double)sb_shape_bytes(&xs[1]),
                      .operations = values };
}

const sb_op sb_op_mask = { .name = "mask", .inputs = 2, .shape = shape, .keeps = keeps, .cost = cost };
