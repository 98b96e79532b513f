/* concat.c: see concat.h. */
#include "kernels/op/concat.h"

#include <limits.h>

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    sb_shape b = xs[1];
    b.n = xs[0].n; /* they may differ in rows alone */
    if (sb_shape_check_alike("concat", &xs[0], &b) != 0)
        return -1;
    if (xs[1].n < 1 || xs[1].n > INT_MAX - xs[0].n)
        return sb_fail("concat: %d rows behind %d", xs[1].n, xs[0].n);
    *y = xs[0];
    y->n = xs[0].n + xs[1].n;
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, 0; }

/* All rows, read and written; backward too. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    (void)backward;
    return (sb_cost){ .bytes = 2.0 * ((double)sb_shape_bytes(&xs[0]) + (double)sb_shape_bytes(&xs[1])) };
}

const sb_op sb_op_concat = { .name = "concat", .inputs = 2, .shape = shape, .keeps = keeps, .cost = cost };
