/* avgpool.c: see avgpool.h. */
#include "kernels/op/avgpool.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = (sb_shape){ xs->n, 1, 1, xs->c, SB_F32 };
    return sb_shape_check_real("avgpool", xs);
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, 0; }

static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    sb_shape y;
    shape(how, xs, &y);
    (void)backward; /* moves as much */
    return (sb_cost){ .bytes = (double)(sb_shape_bytes(xs) + sb_shape_bytes(&y)) };
}

const sb_op sb_op_avgpool = { .name = "avgpool", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost };
