/* groupnorm.c: see groupnorm.h. */
#include "kernels/op/groupnorm.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_groupnorm_how *h = how;
    if (sb_norm_shape("group norm", xs, y) != 0)
        return -1;
    return h->groups > 0 && xs->c % h->groups == 0
               ? 0
               : sb_fail("group norm of %d channels in %d groups of one size", xs->c, h->groups);
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return sb_norm_keeps(((const sb_groupnorm_how *)how)->relu, xs);
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    return (sb_shape){ xs->n, 1, 2, ((const sb_groupnorm_how *)how)->groups, SB_F32 };
}

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    (void)how;
    w[0] = (sb_extent){ 1, { xs->c }, "weight", .init = SB_INIT_ONE };
    w[1] = (sb_extent){ 1, { xs->c }, "bias", .init = SB_INIT_ZERO };
}

static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    return sb_norm_cost(((const sb_groupnorm_how *)how)->relu, xs, backward);
}

const sb_op sb_op_groupnorm = { .name = "groupnorm",
                                .inputs = 2,
                                .shape = shape,
                                .keeps = keeps,
                                .over = SB_NORM_OVER,
                                .aux = aux,
                                .weights = weights,
                                .cost = cost };
