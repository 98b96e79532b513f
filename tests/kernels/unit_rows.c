/* unit_rows.c: rows made unit vectors. Sums are f64's: a value is rounded with its norm, and once by itself.
 */
#include "kernels/op/unit_rows.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void forward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->ys), columns = (size_t)r->ys.c;
    for (size_t i = 0; i < rows; i++) {
        const double *x = r->x[0] + i * columns;
        double square = 0;
        for (size_t c = 0; c < columns; c++)
            square += x[c] * x[c];
        r->aux[i] = fmax(sqrt(square), 1e-12);
        if (r->aux_bound)
            r->aux_bound[i] = (double)columns * 0x1p-53 * r->aux[i];
        for (size_t c = 0; c < columns; c++) {
            r->y[i * columns + c] = x[c] / r->aux[i];
            if (r->y_bound)
                r->y_bound[i * columns + c] = (SB_UNIT_F32 + (double)columns * 0x1p-53) *
                                              fabs(x[c] / r->aux[i]);
        }
    }
}

/* <y, dy> is rounded, then the product with y, then the difference. */
static void backward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->ys), columns = (size_t)r->ys.c;
    for (size_t i = 0; i < rows; i++) {
        const double *y = r->y + i * columns, *dy = r->dy + i * columns;
        double along = 0, magnitude = 0;
        for (size_t c = 0; c < columns; c++) {
            along += y[c] * dy[c];
            magnitude += fabs(y[c] * dy[c]);
        }
        for (size_t c = 0; c < columns; c++) {
            double difference = dy[c] - y[c] * along, sums = (double)columns * 0x1p-53 * magnitude;
            r->dx[0][i * columns + c] = difference / r->aux[i];
            r->dx_bound[0][i * columns + c] = (SB_UNIT_F32 * (2 * fabs(y[c] * along) + fabs(difference)) +
                                               sums * fabs(y[c])) /
                                              r->aux[i] * (1 + 4 * SB_UNIT_F32);
        }
    }
}

/* A row of zeros, one too short to be made a unit vector, a long one, and ordinary ones. */
static void fill_extreme(sb_trial *t, sb_reference *r)
{
    const double scale[4] = { 0, 1e-20, 1e4, 1 };
    size_t columns = (size_t)r->xs[0].c;
    sb_fill_normal(t, &t->arrays[0], 0.1, 1);
    for (size_t i = 0; i < t->arrays[0].count; i++)
        r->x[0][i] *= scale[i / columns % 4];
}

static const sb_op_test ordinary = { .op = SB_OP_UNIT_ROWS, .forward = forward, .backward = backward };
static const sb_op_test extreme = {
    .op = SB_OP_UNIT_ROWS, .fill = fill_extreme, .forward = forward, .backward = backward
};

void sb_cases_unit_rows(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 33, 31 }, { 255, 1 }, { 257, 255 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sb_shape x = { sizes[i][0], 1, 1, sizes[i][1], SB_F32 };
        /* The gradient of one column is 0 but for rounding; that of a row of zeros is no derivative. */
        sb_op_case_add(&ordinary, NULL, &x, (sb_op_options){ .no_differences = x.c == 1 }, "[%d, %d]", x.n,
                       x.c);
        sb_op_case_add(&extreme, NULL, &x, (sb_op_options){ .no_differences = true },
                       "[%d, %d], extreme rows", x.n, x.c);
        sb_op_case_add(&extreme, NULL, &x, (sb_op_options){ .in_place = 1 }, "[%d, %d], extreme rows, over x",
                       x.n, x.c);
    }
    sb_op_case_add(&ordinary, NULL, &(sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_op_options){ 0 },
                   "[3, 2, 5, 33]");
    sb_op_case_add(&ordinary, NULL, &(sb_shape){ 4096, 1, 1, 2048, SB_F32 }, (sb_op_options){ .timed = true },
                   "[4096, 2048]");
}
