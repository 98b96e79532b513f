/* grn.c: see grn.h. */
#include "kernels/op/grn.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = *xs;
    return sb_shape_check_real("grn", xs);
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    (void)how;
    return (sb_shape){ xs->n, 1, 1, xs->c + 1, SB_F32 };
}

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    (void)how;
    w[0] = (sb_extent){ 1, { xs->c }, "weight", .init = SB_INIT_ZERO };
    w[1] = (sb_extent){ 1, { xs->c }, "bias", .init = SB_INIT_ZERO };
}

/* Forward reads x twice, backward x and dy; each writes once. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_shape lengths = aux(how, xs);
    return (sb_cost){ .bytes = (backward ? 5.0 : 3.0) * (double)sb_shape_bytes(xs) +
                               (double)sb_shape_bytes(&lengths) +
                               sizeof(float) * (backward ? 5.0 : 2.0) * xs->c };
}

const sb_op sb_op_grn = { .name = "grn",
                          .inputs = 1,
                          .shape = shape,
                          .keeps = keeps,
                          .over = { SB_KEEPS_X(0) | SB_OVER_DY },
                          .aux = aux,
                          .weights = weights,
                          .cost = cost };
