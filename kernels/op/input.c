/* input.c: see input.h. */
#include "kernels/op/input.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_input_how *h = how;
    if (xs->type != SB_U8 || xs->c < 1 || xs->c > SB_INPUT_CHANNELS_MAX)
        return sb_fail("an input of %s with %d channels, not of u8 with 1 to %d", sb_type_name(xs->type),
                       xs->c, SB_INPUT_CHANNELS_MAX);
    *y = *xs;
    y->type = h->type;
    return 0;
}

static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_input_how *h = how;
    (void)backward; /* there is none */
    return (sb_cost){ .bytes = (double)sb_shape_elements(xs) * (double)(1 + sb_type_bytes(h->type)) };
}

const sb_op sb_op_input = { .name = "input", .inputs = 1, .shape = shape, .cost = cost };
