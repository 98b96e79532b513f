/* depthwise.c: see depthwise.h. */
#include "kernels/op/depthwise.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_depthwise_how *d = how;
    int h = xs->h + 2 * d->pad - d->kernel, w = xs->w + 2 * d->pad - d->kernel;
    if (sb_shape_check_real("depthwise", xs) != 0)
        return -1;
    if (d->kernel < 1 || d->stride < 1 || d->pad < 0 || d->pad >= d->kernel || h < 0 || w < 0)
        return sb_fail("a depthwise convolution of [%d, %d, %d, %d] with kernel %d, stride %d, pad %d", xs->n,
                       xs->h, xs->w, xs->c, d->kernel, d->stride, d->pad);
    *y = (sb_shape){ xs->n, h / d->stride + 1, w / d->stride + 1, xs->c, xs->type };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(0); }

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    const sb_depthwise_how *d = how;
    w[0] = (sb_extent){
        4, { xs->c, 1, d->kernel, d->kernel }, "weight", .init = SB_INIT_FAN_IN, .decayed = true
    };
    if (d->bias)
        w[1] = (sb_extent){ 1, { xs->c }, "bias", .init = SB_INIT_ZERO };
}

/* Backward: dy, x, w, dx, and the gradients of w and bias, which are read and written; it computes as much
 * for each of dx and dw as forward does. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    sb_shape y;
    sb_extent w[SB_WEIGHTS_MAX] = { { 0 } };
    if (shape(how, xs, &y) != 0)
        return (sb_cost){ 0 };
    weights(how, xs, w);
    const double in = (double)sb_shape_bytes(xs), out = (double)sb_shape_bytes(&y),
                 filter = sizeof(float) * (double)sb_extent_count(&w[0]),
                 bias = sizeof(float) * (double)sb_extent_count(&w[1]);
    const double operations = 2 * (double)sb_extent_count(&w[0]) * (double)sb_shape_rows(&y);
    if (!backward)
        return (sb_cost){ .bytes = in + filter + bias + out, .operations = operations };
    return (sb_cost){ .bytes = 2 * in + out + 3 * filter + 2 * bias, .operations = 2 * operations };
}

const sb_op sb_op_depthwise = {
    .name = "depthwise", .inputs = 1, .shape = shape, .keeps = keeps, .weights = weights, .cost = cost
};
