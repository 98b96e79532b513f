/* batchnorm.c: see batchnorm.h. */
#include "kernels/op/batchnorm.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    return (void)how, sb_norm_shape("batch norm", xs, y);
}

/* A frozen one needs no more than where the ReLU let the gradient through, which y tells: the next
 * convolution keeps it anyway. */
static unsigned keeps(const void *how, const sb_shape *xs)
{
    const sb_batchnorm_how *h = how;
    if (h->frozen)
        return h->relu ? SB_KEEPS_Y : 0;
    return sb_norm_keeps(h->relu, xs);
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    const sb_batchnorm_how *h = how;
    if (h->frozen)
        return (sb_shape){ 0 };
    return (sb_shape){ 2, 1, 1, xs->c, SB_F32 };
}

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    const sb_batchnorm_how *h = how;
    w[0] = (sb_extent){ 1, { xs->c }, "weight", .init = SB_INIT_ONE, .given = h->frozen };
    w[1] = (sb_extent){ 1, { xs->c }, "bias", .init = SB_INIT_ZERO, .given = h->frozen };
    w[2] = (sb_extent){ 2, { 2, xs->c }, .init = SB_INIT_STATISTIC, .given = h->frozen };
}

/* A frozen one makes one pass each way. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_batchnorm_how *h = how;
    const int residual = xs[1].n > 0, tensors = 2 + residual + (backward && h->relu);
    if (h->frozen)
        return (sb_cost){ .bytes = (double)tensors * (double)sb_shape_bytes(xs) };
    return sb_norm_cost(h->relu, xs, backward);
}

const sb_op sb_op_batchnorm = { .name = "batchnorm",
                                .inputs = 2,
                                .shape = shape,
                                .keeps = keeps,
                                .over = SB_NORM_OVER,
                                .aux = aux,
                                .weights = weights,
                                .cost = cost };
