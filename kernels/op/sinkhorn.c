/* sinkhorn.c: see sinkhorn.h. */
#include "kernels/op/sinkhorn.h"

#include <limits.h>

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_sinkhorn_how *h = how;
    const sb_shape *x = &xs[0], *earlier = &xs[1], *used = &xs[2];
    if (sb_shape_check_f32("sinkhorn", x) != 0 ||
        (earlier->n > 0 && sb_shape_check_f32("sinkhorn", earlier) != 0) ||
        (used->n > 0 && sb_shape_check_f32("sinkhorn", used) != 0))
        return -1;
    if (!(h->epsilon > 0) || h->iterations < 1)
        return sb_fail("sinkhorn: %d iterations at epsilon %g", h->iterations, (double)h->epsilon);
    if (sb_shape_rows(x) + sb_shape_rows(earlier) > INT_MAX)
        return sb_fail("sinkhorn of more than %d rows", INT_MAX);
    if (earlier->n > 0 && earlier->c != x->c)
        return sb_fail("sinkhorn: %d prototypes, and %d in the earlier scores", x->c, earlier->c);
    if ((earlier->n > 0) != (used->n > 0) || (used->n > 0 && sb_shape_elements(used) != 1))
        return sb_fail("sinkhorn: earlier scores [%zu, %d] with %zu numbers of rows in use; there is one for "
                       "them, and none without them",
                       sb_shape_rows(earlier), earlier->c, sb_shape_elements(used));
    *y = *x;
    return 0;
}

/* The exponentials, and two passes over them an iteration. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_sinkhorn_how *h = how;
    (void)backward;
    double x = (double)sb_shape_elements(&xs[0]), all = x + (double)sb_shape_elements(&xs[1]);
    return (sb_cost){ .bytes = sizeof(float) * ((2 + 2.0 * h->iterations) * all + x),
                      .operations = (2 + 4.0 * h->iterations) * all };
}

const sb_op sb_op_sinkhorn = { .name = "sinkhorn", .inputs = 3, .shape = shape, .cost = cost };
