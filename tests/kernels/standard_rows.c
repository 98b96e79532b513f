/* standard_rows.c: rows of mean 0 and variance 1. Sums and what is made of them are f64's: a value is rounded
 * once, and the sums' own errors are those of f64. */
#include "kernels/op/standard_rows.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void find(const double *x, size_t columns, double *mean, double *inverse)
{
    double square = 0;
    *mean = 0;
    for (size_t c = 0; c < columns; c++)
        *mean += x[c] / (double)columns;
    for (size_t c = 0; c < columns; c++)
        square += (x[c] - *mean) * (x[c] - *mean) / (double)columns;
    *inverse = 1 / sqrt(square + SB_STANDARD_EPSILON);
}

static double largest(const double *x, size_t columns)
{
    double most = 0;
    for (size_t c = 0; c < columns; c++)
        most = fmax(most, fabs(x[c]));
    return most;
}

static void forward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->ys), columns = (size_t)r->ys.c;
    for (size_t at = 0; at < rows * columns; at += columns) {
        double mean, inverse, sums = (double)columns * 0x1p-51 * largest(r->x[0] + at, columns);
        find(r->x[0] + at, columns, &mean, &inverse);
        for (size_t i = at; i < at + columns; i++) {
            r->y[i] = (r->x[0][i] - mean) * inverse;
            if (r->y_bound)
                r->y_bound[i] = SB_UNIT_F32 * fabs(r->y[i]) + sums * inverse * (1 + fabs(r->y[i]));
        }
    }
}

static void backward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->ys), columns = (size_t)r->ys.c;
    for (size_t at = 0; at < rows * columns; at += columns) {
        const double *x = r->x[0] + at, *dy = r->dy + at;
        double mean, inverse, sum = 0, along = 0, most = largest(dy, columns), farthest = 0;
        find(x, columns, &mean, &inverse);
        for (size_t c = 0; c < columns; c++) {
            sum += dy[c] / (double)columns;
            along += dy[c] * (x[c] - mean) * inverse / (double)columns;
            farthest = fmax(farthest, fabs(x[c] - mean) * inverse);
        }
        for (size_t c = 0; c < columns; c++) {
            double normal = (x[c] - mean) * inverse, difference = dy[c] - sum - normal * along,
                   sums = (double)columns * 0x1p-51 *
                          (1 + largest(x, columns) * inverse); /* of a mean and of a deviation */
            r->dx[0][at + c] = difference * inverse;
            r->dx_bound[0][at + c] = inverse * (SB_UNIT_F32 * fabs(difference) +
                                                sums * most * (1 + farthest) * (1 + fabs(normal)));
        }
    }
}

/* Of 0 and of one number, whose deviation epsilon alone is; a row far from 0; small numbers; ordinary ones.
 */
static void fill_extreme(sb_trial *t, sb_reference *r)
{
    const double scale[5] = { 0, 0, 1, 1e-3, 1 }, offset[5] = { 0, 3, 1000, 0, 0 };
    size_t columns = (size_t)r->xs[0].c;
    sb_fill_normal(t, &t->arrays[0], 0, 1);
    for (size_t i = 0; i < t->arrays[0].count; i++)
        r->x[0][i] = r->x[0][i] * scale[i / columns % 5] + offset[i / columns % 5];
}

static const sb_op_test ordinary = { .op = SB_OP_STANDARD_ROWS, .forward = forward, .backward = backward };
static const sb_op_test extreme = {
    .op = SB_OP_STANDARD_ROWS, .fill = fill_extreme, .forward = forward, .backward = backward
};

void sb_cases_standard_rows(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 33, 31 }, { 255, 1 }, { 257, 255 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sb_shape x = { sizes[i][0], 1, 1, sizes[i][1], SB_F32 };
        /* The gradient of one column is 0. */
        sb_op_case_add(&ordinary, NULL, &x, (sb_op_options){ .no_differences = x.c == 1 }, "[%d, %d]", x.n,
                       x.c);
        sb_op_case_add(&extreme, NULL, &x, (sb_op_options){ .no_differences = true },
                       "[%d, %d], extreme rows", x.n, x.c);
    }
    sb_op_case_add(&ordinary, NULL, &(sb_shape){ 512, 1, 1, 4608, SB_F32 }, (sb_op_options){ .timed = true },
                   "[512, 4608]");
}
