/* linear.c: see linear.h. */
#include "kernels/op/linear.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_linear_how *h = how;
    if (sb_shape_check_f32("linear", xs) != 0)
        return -1;
    if (h->out < 1)
        return sb_fail("linear of %d columns to %d", xs->c, h->out);
    *y = *xs;
    y->c = h->out;
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(0); }

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    const sb_linear_how *h = how;
    w[0] = (sb_extent){
        h->filters ? 4 : 2, { h->out, xs->c, 1, 1 }, "weight", .init = SB_INIT_FAN_IN, .decayed = true
    };
    if (h->bias)
        w[1] = (sb_extent){ 1, { h->out }, "bias", .init = SB_INIT_ZERO };
}

/* Backward: dy, x, W, dx, and dW and db, which are read and written. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_linear_how *h = how;
    double rows = (double)sb_shape_rows(xs), in = xs->c, out = h->out, weight = out * in,
           bias = h->bias ? out : 0;
    double floats = backward ? rows * (out + 2 * in) + 3 * weight + 2 * bias
                             : rows * (in + out) + weight + bias;
    return (sb_cost){ .bytes = sizeof(float) * floats, .operations = (backward ? 4 : 2) * rows * weight };
}

const sb_op sb_op_linear = {
    .name = "linear", .inputs = 1, .shape = shape, .keeps = keeps, .weights = weights, .cost = cost
};
