/* cross_entropy.c: see cross_entropy.h. */
#include "kernels/op/cross_entropy.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_cross_entropy_how *h = how;
    if (sb_shape_check_alike("cross_entropy", &xs[0], &xs[1]) != 0)
        return -1;
    if (!(h->temperature > 0))
        return sb_fail("cross_entropy at temperature %g", (double)h->temperature);
    *y = (sb_shape){ xs->n, xs->h, xs->w, 1, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_X(1) | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    (void)how;
    return (sb_shape){ xs->n, xs->h, xs->w, 2, SB_F32 };
}

/* Forward x and q; backward x, q and dx; the row's values. An exponential is one operation. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs), rows = (double)sb_shape_rows(xs);
    return (sb_cost){ .bytes = sizeof(float) * ((backward ? 3 : 2) * values + 3 * rows),
                      .operations = 6 * values };
}

const sb_op sb_op_cross_entropy = {
    .name = "cross_entropy", .inputs = 2, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
