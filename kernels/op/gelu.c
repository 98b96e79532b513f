/* gelu.c: see gelu.h. */
#include "kernels/op/gelu.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = *xs;
    return sb_shape_check_real("gelu", xs);
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(0); }

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    if (((const sb_gelu_how *)how)->bias)
        w[0] = (sb_extent){ 1, { xs->c }, "bias", .init = SB_INIT_ZERO };
}

/* Forward x, y; backward x, dy, dx; the bias, whose gradient is read and written. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const double bias = ((const sb_gelu_how *)how)->bias ? xs->c : 0;
    return (sb_cost){ .bytes = (backward ? 3.0 : 2.0) * (double)sb_shape_bytes(xs) +
                               sizeof(float) * (backward ? 3.0 : 1.0) * bias };
}

const sb_op sb_op_gelu = { .name = "gelu",
                           .inputs = 1,
                           .shape = shape,
                           .keeps = keeps,
                           .over = { SB_KEEPS_X(0) | SB_OVER_DY },
                           .weights = weights,
                           .cost = cost };
