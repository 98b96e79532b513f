/* logsumexp_pairs.c: see logsumexp_pairs.h. */
#include "kernels/op/logsumexp_pairs.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_logsumexp_pairs_how *h = how;
    size_t rows = sb_shape_rows(xs);
    if (sb_shape_check_f32("logsumexp_pairs", xs) != 0)
        return -1;
    if (h->samples < 1 || rows % (size_t)h->samples != 0 || !(h->temperature > 0))
        return sb_fail("logsumexp_pairs of %zu rows of %d samples at temperature %g", rows, h->samples,
                       (double)h->temperature);
    if (sb_shape_check_places("logsumexp_pairs", &xs[1], (size_t)h->samples, (size_t)h->samples) != 0)
        return -1;
    *y = (sb_shape){ xs->n, xs->h, xs->w, 1, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    (void)how;
    return SB_KEEPS_X(0) | (xs[1].n > 0 ? SB_KEEPS_X(1) : 0) | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    (void)how;
    return (sb_shape){ xs->n, xs->h, xs->w, 1, SB_F32 };
}

/* Forward z, y, aux; backward z, aux, dy, dz. Backward computes the products again, and then as many for dz.
 */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double rows = (double)sb_shape_rows(xs), values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = sizeof(float) * ((backward ? 2 : 1) * values + 2 * rows) +
                               (double)sb_shape_bytes(&xs[1]),
                      .operations = (backward ? 4 : 2) * rows * values };
}

const sb_op sb_op_logsumexp_pairs = {
    .name = "logsumexp_pairs", .inputs = 2, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
