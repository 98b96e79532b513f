/* attention.c: see attention.h. */
#include "kernels/op/attention.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_attention_how *h = how;
    const sb_shape *keys = &xs[1];
    const bool cross = keys->n > 0;
    const int parts = cross ? 1 : 3, width = xs->c / parts;
    if (sb_shape_check_real("attention", xs) != 0 || (cross && sb_shape_check_real("attention", keys) != 0))
        return -1;
    if (h->heads < 1 || xs->c % parts != 0 || width % h->heads != 0 ||
        width / h->heads > SB_ATTENTION_SIZE_MAX)
        return sb_fail("attention of %d channels by %d heads: %sheads of at most %d channels were expected",
                       xs->c, h->heads, cross ? "" : "three times ", SB_ATTENTION_SIZE_MAX);
    if (cross && (keys->n != xs->n || keys->c != 2 * width || keys->type != xs->type))
        return sb_fail("attention of %d images' queries, %d channels of %s, to %d images' keys and values, "
                       "%d channels of %s",
                       xs->n, width, sb_type_name(xs->type), keys->n, keys->c, sb_type_name(keys->type));
    *y = (sb_shape){ xs->n, xs->h, xs->w, width, xs->type };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    (void)how;
    return SB_KEEPS_X(0) | (xs[1].n > 0 ? SB_KEEPS_X(1) : 0) | SB_KEEPS_Y | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    return (sb_shape){ xs->n, xs->h, xs->w, ((const sb_attention_how *)how)->heads, SB_F32 };
}

/* Forward x, y, aux; backward x, y, aux, dy, dx. Two products of all pairs, and five on the way back; an
 * exponential counts as one operation. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_shape *keys = &xs[xs[1].n > 0];
    const double rows = (double)sb_shape_rows(xs), pairs = rows * keys->h * keys->w,
                 width = keys == xs ? xs->c / 3.0 : xs->c, heads = ((const sb_attention_how *)how)->heads,
                 inputs = (double)sb_shape_bytes(xs) + (keys == xs ? 0 : (double)sb_shape_bytes(keys)),
                 output = (double)sb_type_bytes(xs->type) * rows * width;
    return (sb_cost){ .bytes = (backward ? 2 : 1) * (inputs + output) + sizeof(float) * rows * heads,
                      .operations = pairs * ((backward ? 10 : 4) * width + 5 * heads) };
}

const sb_op sb_op_attention = {
    .name = "attention", .inputs = 2, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
