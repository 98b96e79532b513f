/* attention.c: see attention.h. */
#include "kernels/op/attention.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_attention_how *h = how;
    if (sb_shape_check_real("attention", xs) != 0)
        return -1;
    if (h->heads < 1 || xs->c % 3 != 0 || xs->c / 3 % h->heads != 0 ||
        xs->c / 3 / h->heads > SB_ATTENTION_SIZE_MAX)
        return sb_fail("attention of %d channels by %d heads: three times heads of at most %d channels were "
                       "expected",
                       xs->c, h->heads, SB_ATTENTION_SIZE_MAX);
    *y = (sb_shape){ xs->n, xs->h, xs->w, xs->c / 3, xs->type };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    (void)how, (void)xs;
    return SB_KEEPS_X(0) | SB_KEEPS_Y | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    return (sb_shape){ xs->n, xs->h, xs->w, ((const sb_attention_how *)how)->heads, SB_F32 };
}

/* Forward x, y, aux; backward x, y, aux, dy, dx. Two products of all pairs, and five on the way back; an
 * exponential counts as one operation. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const double rows = (double)sb_shape_rows(xs), pairs = rows * xs->h * xs->w, width = xs->c / 3.0,
                 heads = ((const sb_attention_how *)how)->heads,
                 values = (double)sb_type_bytes(xs->type) * rows * width;
    return (sb_cost){ .bytes = (backward ? 8 : 4) * values + sizeof(float) * rows * heads,
                      .operations = pairs * ((backward ? 10 : 4) * width + 5 * heads) };
}

const sb_op sb_op_attention = {
    .name = "attention", .inputs = 1, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
