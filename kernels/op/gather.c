/* gather.c: see gather.h. */
#include "kernels/op/gather.h"

#include "proto/error.h"

int sb_gather_check_index(const char *operation, const sb_shape *x)
{
    if (x->type == SB_I32 && x->n > 0 && x->h == 1 && x->w == 1 && x->c == 1)
        return 0;
    return sb_fail("%s by an index of %s [%d, %d, %d, %d], not of i32 [m, 1, 1, 1]", operation,
                   sb_type_name(x->type), x->n, x->h, x->w, x->c);
}

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    if (sb_gather_check_index("gather", &xs[0]) != 0 || sb_shape_check_f32("gather", &xs[1]) != 0)
        return -1;
    *y = xs[1];
    y->n = xs[0].n;
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(0); }

/* Forward the rows taken, read and written; backward dy and the whole of dx. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double taken = xs[0].n, row = (double)sb_shape_bytes(&xs[1]) / xs[1].n;
    return (sb_cost){ .bytes = (double)sb_shape_bytes(&xs[0]) +
                               row * (backward ? taken + xs[1].n : 2 * taken) };
}

const sb_op sb_op_gather = { .name = "gather", .inputs = 2, .shape = shape, .keeps = keeps, .cost = cost };
