/* whiten.c: see whiten.h. */
#include "kernels/op/whiten.h"

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_whiten_how *h = how;
    if (sb_shape_check_f32("whiten", xs) != 0)
        return -1;
    if (h->samples < 2 || sb_shape_rows(xs) % (size_t)h->samples != 0)
        return sb_fail(
            "whiten of %zu rows in groups of %d: rows must be a multiple of a group's, which has 2 or "
            "more",
            sb_shape_rows(xs), h->samples);
    if (xs->c > SB_WHITEN_COLUMNS_MAX)
        return sb_fail("whiten of %d columns: at most %d", xs->c, SB_WHITEN_COLUMNS_MAX);
    *y = *xs;
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_X(0) | SB_KEEPS_Y;
}

/* A covariance, its factor, a system for each row; backward F and its product, too. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs), d = xs->c;
    return (sb_cost){ .bytes = (backward ? 4.0 * 4 : 4.0 * 2) * values,
                      .operations = (backward ? 6 : 2) * values * d };
}

const sb_op sb_op_whiten = { .name = "whiten", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost };
