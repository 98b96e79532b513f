/* layernorm.c: see layernorm.h. */
#include "kernels/op/layernorm.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = *xs;
    return sb_shape_check_real("layernorm", xs);
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    (void)how;
    return (sb_shape){ xs->n, xs->h, xs->w, 2, SB_F32 };
}

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    (void)how;
    w[0] = (sb_extent){ 1, { xs->c }, "weight", .init = SB_INIT_ONE };
    w[1] = (sb_extent){ 1, { xs->c }, "bias", .init = SB_INIT_ZERO };
}

/* Forward x, y; backward x, dy, dx; the statistics, and the weights, whose gradients are read and written. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_shape statistics = aux(how, xs);
    return (sb_cost){ .bytes = (backward ? 3.0 : 2.0) * (double)sb_shape_bytes(xs) +
                               (double)sb_shape_bytes(&statistics) +
                               sizeof(float) * (backward ? 5.0 : 2.0) * xs->c };
}

const sb_op sb_op_layernorm = { .name = "layernorm",
                                .inputs = 1,
                                .shape = shape,
                                .keeps = keeps,
                                .over = { SB_KEEPS_X(0) | SB_OVER_DY },
                                .aux = aux,
                                .weights = weights,
                                .cost = cost };
