/* identity_distance.c: see identity_distance.h. */
#include "kernels/op/identity_distance.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_identity_distance_how *h = how;
    if (sb_shape_check_f32("identity_distance", xs) != 0)
        return -1;
    if (sb_shape_rows(xs) != (size_t)xs->c)
        return sb_fail("identity_distance of [%zu, %d]: the matrix must be square", sb_shape_rows(xs), xs->c);
    if (!(h->on >= 0 && h->off >= 0))
        return sb_fail("identity_distance with %g for what is on the diagonal, and %g off it", (double)h->on,
                       (double)h->off);
    *y = (sb_shape){ 1, 1, 1, 1, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(0); }

/* Forward x; backward x and dx. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = sizeof(float) * ((backward ? 2 : 1) * values + 1), .operations = 2 * values };
}

const sb_op sb_op_identity_distance = {
    .name = "identity_distance", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost
};
