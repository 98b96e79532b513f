/* conv.c: see conv.h. */
#include "kernels/op/conv.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_conv_how *c = how;
    int h = xs->h + 2 * c->pad - c->kernel, w = xs->w + 2 * c->pad - c->kernel;
    if (xs->n < 1 || xs->h < 1 || xs->w < 1 || xs->c < 1 || !sb_type_real(xs->type) || c->out < 1 ||
        c->kernel < 1 || c->stride < 1 || c->pad < 0 || c->pad >= c->kernel || h < 0 || w < 0 ||
        (c->flat && c->kernel != 1))
        return sb_fail(
            "a convolution of %s [%d, %d, %d, %d] to %d channels with kernel %d, stride %d, pad %d%s",
            sb_type_name(xs->type), xs->n, xs->h, xs->w, xs->c, c->out, c->kernel, c->stride, c->pad,
            c->flat ? ", as a linear layer" : "");
    *y = (sb_shape){ xs->n, h / c->stride + 1, w / c->stride + 1, c->out, xs->type };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(0); }

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    const sb_conv_how *c = how;
    w[0] = (sb_extent){
        c->flat ? 2 : 4, { c->out, xs->c, c->kernel, c->kernel }, "weight", .init = SB_INIT_FAN_OUT,
        .decayed = true, .standardised = c->standardised,
    };
    if (c->bias)
        w[1] = (sb_extent){ 1, { c->out }, "bias", .init = SB_INIT_ZERO };
}

/* Backward computes as much for each of its two gradients as forward does. It reads x, dy and packed weights,
 * and writes dx; it reads and writes dw. A bias is nothing beside that. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    sb_shape y;
    sb_extent w[SB_WEIGHTS_MAX];
    if (shape(how, xs, &y) != 0)
        return (sb_cost){ 0 };
    weights(how, xs, w);
    double in = (double)sb_shape_bytes(xs), out = (double)sb_shape_bytes(&y),
           filter = (double)sb_extent_count(&w[0]);
    double packed = filter * (double)sb_type_bytes(xs->type);
    double operations = 2 * (double)sb_shape_elements(&y) * filter / y.c;
    if (!backward)
        return (sb_cost){ .bytes = in + packed + out, .operations = operations };
    return (sb_cost){ .bytes = 2 * in + packed + out + 2 * filter * sizeof(float),
                      .operations = 2 * operations };
}

const sb_op sb_op_conv = {
    .name = "conv", .inputs = 1, .shape = shape, .keeps = keeps, .weights = weights, .cost = cost
};

/* The filters as rows. */
static sb_call rows_of(const sb_call *call)
{
    const sb_conv_how *c = call->how;
    const sb_shape rows = { c->out, 1, 1, call->xs[0].c * c->kernel * c->kernel, SB_F32 };
    return (sb_call){ .xs = { rows }, .ys = rows, .x = { call->w[0] } };
}

int sb_conv_standardise(sb_device *device, const sb_call *call, float *to)
{
    sb_call rows = rows_of(call);
    rows.y = to;
    return sb_forward(device, SB_OP_STANDARD_ROWS, &rows);
}

int sb_conv_standardise_back(sb_device *device, const sb_call *call, const float *gradient)
{
    sb_call rows = rows_of(call);
    rows.dy = gradient;
    rows.dx[0] = call->dw[0];
    rows.add[0] = true;
    return sb_backward(device, SB_OP_STANDARD_ROWS, &rows);
}
