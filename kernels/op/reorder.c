/* reorder.c: see reorder.h. */
#include "kernels/op/reorder.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_reorder_how *h = how;
    if (xs->n < 1 || xs->h < 1 || xs->w < 1 || xs->c < 1 || xs->type == SB_U8 || !sb_block_known(xs->block) ||
        !sb_block_known(h->block))
        return sb_fail(
            "reorder of %s [%d, %d, %d, %d] from blocks of %d channels to %d: f32 or bf16, and blocks "
            "of 8, 16 or, for rows, 0",
            sb_type_name(xs->type), xs->n, xs->h, xs->w, xs->c, xs->block, h->block);
    *y = *xs;
    y->block = h->block;
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, 0; }

static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    sb_shape y;
    (void)backward; /* moves as much */
    if (shape(how, xs, &y) != 0)
        return (sb_cost){ 0 };
    return (sb_cost){ .bytes = (double)(sb_shape_bytes(xs) + sb_shape_bytes(&y)) };
}

const sb_op sb_op_reorder = { .name = "reorder", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost };
