/* rows.c: see rows.h. */
#include "kernels/op/rows.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_rows_how *h = how;
    if (sb_shape_check_f32("rows", xs) != 0)
        return -1;
    if (h->first < 0 || h->first >= xs->n || h->count < 1)
        return sb_fail("rows: %d from row %d on, of %d", h->count, h->first, xs->n);
    *y = *xs;
    y->n = h->count;
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, 0; }

/* Forward the rows taken, read and written; backward dy and the whole of dx. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_rows_how *h = how;
    double row = (double)sb_shape_bytes(xs) / xs->n;
    return (sb_cost){ .bytes = row * (backward ? (double)h->count + xs->n : 2.0 * h->count) };
}

const sb_op sb_op_rows = { .name = "rows", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost };
