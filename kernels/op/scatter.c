/* scatter.c: see scatter.h. */
#include "kernels/op/scatter.h"

#include "kernels/op/gather.h"
#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_scatter_how *h = how;
    if (sb_gather_check_index("scatter", &xs[0]) != 0 || sb_shape_check_f32("scatter", &xs[1]) != 0)
        return -1;
    if (xs[0].n != xs[1].n || h->rows < 1)
        return sb_fail("scatter of %d rows by %d numbers into %d", xs[1].n, xs[0].n, h->rows);
    *y = xs[1];
    y->n = h->rows;
    return 0;
}

/* The rows are read and written. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    (void)backward; /* there is none */
    return (sb_cost){ .bytes = (double)sb_shape_bytes(&xs[0]) + 2.0 * (double)sb_shape_bytes(&xs[1]) };
}

const sb_op sb_op_scatter = { .name = "scatter", .inputs = 2, .shape = shape, .cost = cost };
