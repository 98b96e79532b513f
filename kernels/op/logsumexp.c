/* logsumexp.c: see logsumexp.h. */
#include "kernels/op/logsumexp.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_logsumexp_how *h = how;
    const sb_shape *used = &xs[1];
    if (sb_shape_check_f32("logsumexp", xs) != 0 ||
        (used->n > 0 && sb_shape_check_f32("logsumexp", used) != 0))
        return -1;
    if (!(h->temperature > 0))
        return sb_fail("logsumexp at temperature %g", (double)h->temperature);
    if (used->n > 0 && sb_shape_elements(used) != 1)
        return sb_fail("logsumexp: %zu numbers of columns in use, not one", sb_shape_elements(used));
    if (sb_shape_check_places("logsumexp", &xs[2], sb_shape_rows(xs), (size_t)xs->c) != 0)
        return -1;
    *y = (sb_shape){ xs->n, xs->h, xs->w, 1, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    (void)how;
    return SB_KEEPS_X(0) | (xs[1].n > 0 ? SB_KEEPS_X(1) : 0) | (xs[2].n > 0 ? SB_KEEPS_X(2) : 0) |
           SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    (void)how;
    return (sb_shape){ xs->n, xs->h, xs->w, 2, SB_F32 };
}

/* Forward x; backward x and dx; the places; a row's values. An exponential is one operation. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs), rows = (double)sb_shape_rows(xs);
    return (sb_cost){ .bytes = sizeof(float) * ((backward ? 2 : 1) * values + 3 * rows) +
                               (double)sb_shape_bytes(&xs[2]),
                      .operations = 4 * values };
}

const sb_op sb_op_logsumexp = {
    .name = "logsumexp", .inputs = 3, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
