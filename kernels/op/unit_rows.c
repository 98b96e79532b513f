/* unit_rows.c: see unit_rows.h. */
#include "kernels/op/unit_rows.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = *xs;
    return sb_shape_check_f32("unit_rows", xs);
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, (void)xs, SB_KEEPS_Y | SB_KEEPS_AUX;
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    (void)how;
    return (sb_shape){ xs->n, xs->h, xs->w, 1, SB_F32 };
}

/* Forward x, y; backward y, dy, dx; the norms. Two operations a value for the sum, one or two more for the
 * result. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs), rows = (double)sb_shape_rows(xs);
    return (sb_cost){ .bytes = sizeof(float) * ((backward ? 3 : 2) * values + rows),
                      .operations = (backward ? 5 : 3) * values };
}

const sb_op sb_op_unit_rows = {
    .name = "unit_rows", .inputs = 1, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
