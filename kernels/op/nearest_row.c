/* nearest_row.c: see nearest_row.h. */
#include "kernels/op/nearest_row.h"

#include <limits.h>

#include "proto/error.h"

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    const sb_shape *x = &xs[0], *queue = &xs[1], *used = &xs[2];
    (void)how;
    if (sb_shape_check_f32("nearest_row", x) != 0 || sb_shape_check_f32("nearest_row", queue) != 0 ||
        sb_shape_check_f32("nearest_row", used) != 0)
        return -1;
    if (queue->c != x->c || sb_shape_elements(used) != 1)
        return sb_fail("nearest_row: %d columns, a queue of %d, and %zu numbers of rows in use, not one",
                       x->c, queue->c, sb_shape_elements(used));
    if (sb_shape_rows(x) > INT_MAX || sb_shape_rows(queue) > INT_MAX)
        return sb_fail("nearest_row of more than %d rows", INT_MAX);
    *y = *x;
    return 0;
}

/* The queue is read once, x for each band; the products are written and read. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    (void)backward; /* there is none */
    double x = (double)sb_shape_elements(&xs[0]), queue = (double)sb_shape_elements(&xs[1]),
           products = (double)sb_shape_rows(&xs[0]) * (double)sb_shape_rows(&xs[1]);
    return (sb_cost){ .bytes = sizeof(float) * (2 * x + queue + 2 * products),
                      .operations = 2 * x * (double)sb_shape_rows(&xs[1]) };
}

const sb_op sb_op_nearest_row = { .name = "nearest_row", .inputs = 3, .shape = shape, .cost = cost };
