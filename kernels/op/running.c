/* running.c: see running.h. */
#include "kernels/op/running.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    if (xs->n != 2 || xs->h != 1 || xs->w != 1 || xs->c < 1 || xs->type != SB_F32)
        return sb_fail("running statistics of %s [%d, %d, %d, %d], not of f32 [2, 1, 1, c]",
                       sb_type_name(xs->type), xs->n, xs->h, xs->w, xs->c);
    *y = *xs;
    return 0;
}

/* y is read and written. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    (void)backward; /* there is none */
    return (sb_cost){ .bytes = 3.0 * (double)sb_shape_bytes(xs) };
}

const sb_op sb_op_running = { .name = "running", .inputs = 1, .shape = shape, .cost = cost };
