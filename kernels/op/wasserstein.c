/* wasserstein.c: see wasserstein.h. */
#include "kernels/op/wasserstein.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_wasserstein_how *h = how;
    const size_t rows = sb_shape_rows(xs);
    if (sb_shape_check_f32("wasserstein", xs) != 0)
        return -1;
    if (h->samples < 1 || rows % (size_t)h->samples != 0)
        return sb_fail("wasserstein of %zu rows in views of %d: rows must be a multiple of a view's", rows,
                       h->samples);
    *y = (sb_shape){ (int)(rows / (size_t)h->samples), 1, 1, xs->c, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs) { return (void)how, xs[0]; }

/* A sort counts as log N operations a value. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_wasserstein_how *h = how;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = (backward ? 4.0 * 3 : 4.0 * 2) * values,
                      .operations = backward ? 3 * values : (log2(h->samples) + 3) * values };
}

const sb_op sb_op_wasserstein = {
    .name = "wasserstein", .inputs = 1, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
