/* norm.c: see norm.h. */
#include "kernels/op/norm.h"

#include "proto/error.h"

int sb_norm_shape(const char *name, const sb_shape *xs, sb_shape *y)
{
    const sb_shape *x = &xs[0], *residual = &xs[1];
    if (sb_shape_check_real(name, x) != 0)
        return -1;
    if (residual->n > 0 && (residual->n != x->n || residual->h != x->h || residual->w != x->w ||
                            residual->c != x->c || residual->type != x->type))
        return sb_fail("%s of %s [%d, %d, %d, %d] with a residual of %s [%d, %d, %d, %d]", name,
                       sb_type_name(x->type), x->n, x->h, x->w, x->c, sb_type_name(residual->type),
                       residual->n, residual->h, residual->w, residual->c);
    *y = *x;
    return 0;
}

unsigned sb_norm_keeps(bool relu, const sb_shape *xs)
{
    return SB_KEEPS_X(0) | SB_KEEPS_AUX | (relu && xs[1].n > 0 ? SB_KEEPS_Y : 0);
}

/* Each way makes two passes over memory: sums over all of x come before the first result. Backward, the
 * second reads the masked dy where the first left it, as the residual's gradient. */
sb_cost sb_norm_cost(bool relu, const sb_shape *xs, bool backward)
{
    bool residual = xs[1].n > 0;
    int incoming = 1 + (relu && residual); /* what the masked dy is made of */
    int tensors = backward ? 1 + incoming + residual + 1 + (residual ? 1 : incoming) + 1 : 3 + residual;
    return (sb_cost){ .bytes = (double)tensors * (double)sb_shape_bytes(xs) };
}
