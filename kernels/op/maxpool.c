/* maxpool.c: see maxpool.h. */
#include "kernels/op/maxpool.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = (sb_shape){ xs->n, (xs->h - 1) / 2 + 1, (xs->w - 1) / 2 + 1, xs->c, xs->type };
    return sb_shape_check_real("maxpool", xs);
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_AUX; }

static sb_shape aux(const void *how, const sb_shape *xs)
{
    sb_shape y;
    shape(how, xs, &y);
    y.type = SB_U8;
    return y;
}

static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    sb_shape y, places = aux(how, xs);
    shape(how, xs, &y);
    (void)backward; /* moves as much */
    return (sb_cost){ .bytes = (double)(sb_shape_bytes(xs) + sb_shape_bytes(&y) + sb_shape_bytes(&places)) };
}

const sb_op sb_op_maxpool = {
    .name = "maxpool", .inputs = 1, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
