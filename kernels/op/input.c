/* input.c: see input.h. */
#include "kernels/op/input.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_input_how *h = how;
    if (xs->type != SB_U8 || xs->n < 1 || xs->h < 1 || xs->w < 1 || xs->c < 1 ||
        xs->c > SB_INPUT_CHANNELS_MAX || !sb_type_real(h->type))
        return sb_fail("an input of %s [%d, %d, %d, %d] into %s: not u8 with 1 to %d channels into f32, "
                       "bf16 or f16",
                       sb_type_name(xs->type), xs->n, xs->h, xs->w, xs->c, sb_type_name(h->type),
                       SB_INPUT_CHANNELS_MAX);
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
