/* avgpool.c: see avgpool.h. */
#include "kernels/op/avgpool.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_avgpool_how *h = how;
    *y = (sb_shape){ xs->n, 1, 1, xs->c, SB_F32 };
    if (sb_shape_check_real("avgpool", xs) != 0)
        return -1;
    if (h->first < 0 || h->count < 0 || h->first >= xs->h * xs->w || h->count > xs->h * xs->w - h->first)
        return sb_fail("avgpool of %d of %d places, from %d on", h->count, xs->h * xs->w, h->first);
    return 0;
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
