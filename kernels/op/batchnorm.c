/* batchnorm.c: see batchnorm.h. */
#include "kernels/op/batchnorm.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_shape *x = &xs[0], *residual = &xs[1];
    (void)how;
    if (sb_shape_check_real("batch norm", x) != 0)
        return -1;
    if (residual->n > 0 && (residual->n != x->n || residual->h != x->h || residual->w != x->w ||
                            residual->c != x->c || residual->type != x->type))
        return sb_fail("batch norm of %s [%d, %d, %d, %d] with a residual of %s [%d, %d, %d, %d]",
                       sb_type_name(x->type), x->n, x->h, x->w, x->c, sb_type_name(residual->type),
                       residual->n, residual->h, residual->w, residual->c);
    *y = *x;
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    const sb_batchnorm_how *h = how;
    return SB_KEEPS_X(0) | SB_KEEPS_AUX | (h->relu && xs[1].n > 0 ? SB_KEEPS_Y : 0);
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    (void)how;
    return (sb_shape){ 2, 1, 1, xs->c, SB_F32 };
}

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    (void)how;
    w[0] = (sb_extent){ 1, { xs->c }, "weight", .init = SB_INIT_ONE };
    w[1] = (sb_extent){ 1, { xs->c }, "bias", .init = SB_INIT_ZERO };
    w[2] = (sb_extent){ 2, { 2, xs->c }, .init = SB_INIT_STATISTIC };
}

/* Each way makes two passes over memory: sums over all of x come before the first result. Backward, the
 * second reads the masked dy where the first left it, as the residual's gradient. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    bool residual = xs[1].n > 0, y = (keeps(how, xs) & SB_KEEPS_Y) != 0;
    int incoming = 1 + y; /* what the masked dy is made of */
    int tensors = backward ? 1 + incoming + residual + 1 + (residual ? 1 : incoming) + 1 : 3 + residual;
    return (sb_cost){ .bytes = (double)tensors * (double)sb_shape_bytes(xs) };
}

const sb_op sb_op_batchnorm = { .name = "batchnorm",
                                .inputs = 2,
                                .shape = shape,
                                .keeps = keeps,
                                .aux = aux,
                                .weights = weights,
                                .cost = cost };
