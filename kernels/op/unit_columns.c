/* unit_columns.c: see unit_columns.h. */
#include "kernels/op/unit_columns.h"

#include <limits.h>

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_unit_columns_how *h = how;
    const sb_shape *x = &xs[0], *earlier = &xs[1], *used = &xs[2];
    if (sb_shape_check_f32("unit_columns", x) != 0 ||
        (earlier->n > 0 && sb_shape_check_f32("unit_columns", earlier) != 0) ||
        (used->n > 0 && sb_shape_check_f32("unit_columns", used) != 0))
        return -1;
    if (!(h->epsilon >= 0))
        return sb_fail("unit_columns with epsilon %g", (double)h->epsilon);
    const size_t rows = sb_shape_rows(x) + sb_shape_rows(earlier);
    if (rows > INT_MAX)
        return sb_fail("unit_columns of more than %d rows", INT_MAX);
    if (earlier->n > 0 && earlier->c != x->c)
        return sb_fail("unit_columns: %d columns, and %d in the earlier rows", x->c, earlier->c);
    if ((earlier->n > 0) != (used->n > 0) || (used->n > 0 && sb_shape_elements(used) != 1))
        return sb_fail(
            "unit_columns: %zu earlier rows with %zu numbers of rows in use; there is one for them, "
            "and none without them",
            sb_shape_rows(earlier), sb_shape_elements(used));
    *y = (sb_shape){ (int)rows, 1, 1, x->c, SB_F32 };
    return 0;
}

static unsigned keeps(const void *how, const sb_shape *xs)
{
    return (void)how, SB_KEEPS_Y | SB_KEEPS_AUX | (xs[2].n > 0 ? SB_KEEPS_X(2) : 0);
}

static sb_shape aux(const void *how, const sb_shape *xs)
{
    return (void)how, (sb_shape){ 1, 1, 1, xs[0].c, SB_F32 };
}

/* Forward the stack and y; backward y, dy and dx. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double x = (double)sb_shape_elements(&xs[0]), all = x + (double)sb_shape_elements(&xs[1]);
    return (sb_cost){ .bytes = sizeof(float) * (2 * all + (backward ? x : 0)),
                      .operations = backward ? 3 * all + 4 * x : 6 * all };
}

const sb_op sb_op_unit_columns = {
    .name = "unit_columns", .inputs = 3, .shape = shape, .keeps = keeps, .aux = aux, .cost = cost
};
