/* standard_rows.c: see standard_rows.h. */
#include "kernels/op/standard_rows.h"

#include <math.h>

void sb_standard_find(const float *x, size_t columns, double *mean, double *inverse)
{
    double sum = 0, square = 0;
    for (size_t c = 0; c < columns; c++)
        sum += x[c];
    *mean = sum / (double)columns;
    for (size_t c = 0; c < columns; c++)
        square += (x[c] - *mean) * (x[c] - *mean);
    *inverse = 1 / sqrt(square / (double)columns + SB_STANDARD_EPSILON);
}

void sb_standard_row(const float *x, size_t columns, float *y)
{
    double mean, inverse;
    sb_standard_find(x, columns, &mean, &inverse);
    for (size_t c = 0; c < columns; c++)
        y[c] = (float)((x[c] - mean) * inverse);
}

static int shape(const void *how, const sb_shape *xs, sb_shape *y)
{
    (void)how;
    *y = *xs;
    return sb_shape_check_f32("standard_rows", xs);
}

static unsigned keeps(const void *how, const sb_shape *xs) { return (void)how, (void)xs, SB_KEEPS_X(0); }

/* Forward x, y; backward x, dy, dx. Three operations a value for the sums, two or five for the result. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    (void)how;
    double values = (double)sb_shape_elements(xs);
    return (sb_cost){ .bytes = (double)sizeof(float) * (backward ? 3 : 2) * values,
                      .operations = (backward ? 11 : 5) * values };
}

const sb_op sb_op_standard_rows = {
    .name = "standard_rows", .inputs = 1, .shape = shape, .keeps = keeps, .cost = cost
};
