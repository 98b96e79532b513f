/* nuclear_norm.c: see nuclear_norm.h. */
#include "kernels/op/nuclear_norm.h"

#include <limits.h>

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    const size_t n = sb_shape_rows(xs), d = (size_t)xs->c;
    if (sb_shape_check_f32("nuclear_norm", xs) != 0)
        return -1;
    if (n > INT_MAX || (n < d ? n : d) > SB_NUCLEAR_SIDE_MAX)
        return sb_fail("nuclear_norm of [%zu, %zu]: one side must be at most %d", n, d, SB_NUCLEAR_SIDE_MAX);
    *y = (sb_shape){ 1, 1, 1, 1, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_AUX; }

static sb_shape aux(const void *how, const sb_shape *xs) { return (void)how, xs[0]; }

/* Ten sweeps, and U V' from what they turned. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double n = (double)sb_shape_rows(xs), d = xs->c, least = n < d ? n : d, most = n < d ? d : n;
    return (sb_cost){ .bytes = sizeof(float) * 2 * n * d,
                      .operations = backward ? n * d
                                             : 10 * least * least / 2 * (9 * most + 6 * least) +
                                                   2 * least * least * most };
}

const sb_op sb_op_nuclear_norm = {
    .name = "nuclear_norm", .inputs = 1, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
