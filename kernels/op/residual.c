/* residual.c: see residual.h. */
#include "kernels/op/residual.h"

#include "proto/error.h"

static bool scaled(const void *how) { return ((const sb_residual_how *)how)->scaled; }

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_shape *x = &xs[0], *r = &xs[1];
    (void)how;
    *y = *x;
    if (sb_shape_check_real("residual", x) != 0)
        return -1;
    if (x->n == r->n && x->h == r->h && x->w == r->w && x->c == r->c && x->type == r->type)
        return 0;
    return sb_fail(
        "residual: %s [%d, %d, %d, %d] is added to %s [%d, %d, %d, %d]: the two must be of one shape",
        sb_type_name(x->type), x->n, x->h, x->w, x->c, sb_type_name(r->type), r->n, r->h, r->w, r->c);
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    (void)xs;
    return scaled(how) ? SB_KEEPS_X(0) : 0;
}

static void weights(const void *how, const sb_shape *xs, sb_extent w[SB_WEIGHTS_MAX])
{
    const float initial = ((const sb_residual_how *)how)->initial;
    if (scaled(how))
        w[0] = (sb_extent){ 1, { xs->c }, "gamma", .init = SB_INIT_CONSTANT, .size = initial };
}

/* Forward x0, x1, y; backward dy, dx0, dx1, and x0 for gamma's gradient, which is read and written. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const bool more = scaled(how);
    return (sb_cost){ .bytes = (backward && more ? 4.0 : 3.0) * (double)sb_shape_bytes(xs) +
                               sizeof(float) * (backward ? 3.0 : 1.0) * (more ? xs->c : 0) };
}

const sb_op sb_op_residual = { .name = "residual",
                               .inputs = 2,
                               .shape = shape,
                               .keeps = keeps,
                               .over = { SB_KEEPS_X(0) | SB_OVER_DY, SB_KEEPS_X(0) | SB_OVER_DY },
                               .weights = weights,
                               .cost = cost };
