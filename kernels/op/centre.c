/* centre.c: see centre.h. */
#include "kernels/op/centre.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_centre_how *h = how;
    if (sb_shape_check_f32("centre", xs) != 0)
        return -1;
    if (h->samples < 1 || sb_shape_rows(xs) % (size_t)h->samples != 0)
        return sb_fail("centre of %zu rows in groups of %d: rows must be a multiple of a group's",
                       sb_shape_rows(xs), h->samples);
    *y = *xs;
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, 0; }

/* A sum, and a difference. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how, (void)backward;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = sizeof(float) * 2 * values, .operations = 2 * values };
}

const sb_op sb_op_centre = { .name = "centre", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost };
