/* unit_columns.c: columns of unit length over x and earlier rows. Sums are f64's; the gradient reads y and s
 * as they were rounded to f32. */
#include "kernels/op/unit_columns.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

#define UNIT 0x1p-53 /* of f64 */

static size_t rows_of(const sb_reference *r)
{
    size_t n = sb_shape_rows(&r->xs[0]), most = sb_shape_rows(&r->xs[1]);
    if (!r->x[2] || r->x[2][0] <= 0)
        return n;
    return n + (r->x[2][0] > (double)most ? most : (size_t)r->x[2][0]);
}

static double value_of(const sb_reference *r, size_t row, size_t c)
{
    size_t n = sb_shape_rows(&r->xs[0]), d = (size_t)r->xs[0].c;
    return row < n ? r->x[0][row * d + c] : r->x[1][(row - n) * d + c];
}

/* A mean is off by its roundings, and each difference by as much; s by its roundings, relatively. */
static void forward(sb_reference *r)
{
    size_t rows = rows_of(r), d = (size_t)r->xs[0].c, all = (size_t)r->ys.n;
    for (size_t c = 0; c < d; c++) {
        double mean = 0, magnitude = 0, squares = 0;
        for (size_t k = 0; k < rows; k++) {
            mean += value_of(r, k, c) / (double)rows;
            magnitude += fabs(value_of(r, k, c)) / (double)rows;
        }
        for (size_t k = 0; k < rows; k++)
            squares += pow(value_of(r, k, c) - mean, 2);
        double s = sqrt(squares + (double)rows * (double)((const sb_unit_columns_how *)r->how)->epsilon),
               off = UNIT * (double)(2 * rows + 4) * magnitude;
        r->aux[c] = s;
        if (r->aux_bound)
            r->aux_bound[c] = s * UNIT * (double)(rows + 8) + (s > 0 ? 2 * (double)rows * off * off / s : 0);
        for (size_t k = 0; k < all; k++) {
            double y = k < rows && s > 0 ? (value_of(r, k, c) - mean) / s : 0;
            r->y[k * d + c] = y;
            if (r->y_bound)
                r->y_bound[k * d + c] = k < rows && s > 0
                                            ? fabs(y) * UNIT * (double)(2 * rows + 16) + 2 * off / s
                                            : 0;
        }
    }
}

static void backward(sb_reference *r)
{
    size_t rows = rows_of(r), d = (size_t)r->xs[0].c, n = sb_shape_rows(&r->xs[0]);
    for (size_t c = 0; c < d; c++) {
        double mean = 0, along = 0, size = 0, along_size = 0, s = r->aux[c];
        for (size_t k = 0; k < rows; k++) {
            double dy = r->dy[k * d + c], y = r->y[k * d + c];
            mean += dy / (double)rows;
            size += fabs(dy) / (double)rows;
            along += y * dy;
            along_size += fabs(y * dy);
        }
        for (size_t k = 0; k < n; k++) {
            double dy = r->dy[k * d + c], y = r->y[k * d + c];
            r->dx[0][k * d + c] = s > 0 ? (dy - mean - y * along) / s : 0;
            r->dx_bound[0][k * d + c] = s > 0 ? UNIT * (double)(2 * rows + 16) *
                                                    (fabs(dy) + size + fabs(y) * along_size) / s
                                              : 0;
        }
    }
}

static void fill_used(sb_trial *t, sb_reference *r, double used)
{
    for (int i = 0; i < 2; i++)
        sb_fill_normal(t, sb_array_x(t, i), i, 1 + i);
    if (r->x[2])
        r->x[2][0] = used;
}

static void fill_all(sb_trial *t, sb_reference *r) { fill_used(t, r, (double)sb_shape_rows(&r->xs[1])); }
static void fill_none(sb_trial *t, sb_reference *r) { fill_used(t, r, 0); }
static void fill_some(sb_trial *t, sb_reference *r)
{
    const size_t third = sb_shape_rows(&r->xs[1]) / 3;
    fill_used(t, r, (double)third);
}
static void fill_more(sb_trial *t, sb_reference *r) { fill_used(t, r, 1e9); }
static void fill_less(sb_trial *t, sb_reference *r) { fill_used(t, r, -1); }

/* Every column has one value. */
static void fill_equal(sb_trial *t, sb_reference *r)
{
    fill_all(t, r);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sb_array_x(t, i)->count; k++)
            r->x[i][k] = (double)(k % (size_t)r->xs[i].c) - 2;
}

static void fill_large(sb_trial *t, sb_reference *r)
{
    fill_all(t, r);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sb_array_x(t, i)->count; k++)
            r->x[i][k] *= 1e4;
}

typedef enum { ALL, NONE, SOME, MORE, LESS, EQUAL, LARGE, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { fill_all,  fill_none, fill_some,
                                                                     fill_more, fill_less, fill_equal,
                                                                     fill_large };
static const char *const texts[VALUES] = { "",          ", none used", ", a third used", ", 1e9 used",
                                           ", -1 used", ", equal",     ", large" };
static sb_op_test tests[VALUES];

/* Two rows alone are where they are, whatever x: their gradient is rounding. Where x is large, its gradient
 * is too small for differences. */
static void add(values which, int earlier, sb_shape x, float epsilon, bool timed)
{
    sb_shape xs[3] = { x };
    if (earlier > 0) {
        xs[1] = (sb_shape){ earlier, 1, 1, x.c, SB_F32 };
        xs[2] = (sb_shape){ 1, 1, 1, 1, SB_F32 };
    }
    tests[which] = (sb_op_test){ .op = SB_OP_UNIT_COLUMNS,
                                 .how_bytes = sizeof(sb_unit_columns_how),
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(&tests[which], &(sb_unit_columns_how){ epsilon }, xs,
                   (sb_op_options){ .timed = timed, .no_dx = 6, .no_differences = which >= EQUAL || x.n < 3 },
                   "[%d, %d, %d, %d] + %d, epsilon %g%s", x.n, x.h, x.w, x.c, earlier, (double)epsilon,
                   texts[which]);
}

static int shape_of(float epsilon, sb_shape earlier, sb_shape used)
{
    sb_shape y;
    return sb_op_unit_columns.shape(&(sb_unit_columns_how){ epsilon },
                                    (sb_shape[]){ { 2, 1, 1, 4, SB_F32 }, earlier, used }, &y);
}

static const sb_shape one = { 1, 1, 1, 1, SB_F32 };
static int refuse_epsilon(sb_device *d) { return (void)d, shape_of(-1, (sb_shape){ 0 }, (sb_shape){ 0 }); }
static int refuse_columns(sb_device *d)
{
    return (void)d, shape_of(1e-5f, (sb_shape){ 8, 1, 1, 5, SB_F32 }, one);
}
static int refuse_no_used(sb_device *d)
{
    return (void)d, shape_of(1e-5f, (sb_shape){ 8, 1, 1, 4, SB_F32 }, (sb_shape){ 0 });
}

void sb_cases_unit_columns(void)
{
    const int sizes[][3] = { { 0, 2, 1 },  { 0, 33, 31 },  { 0, 257, 64 },
                             { 3, 2, 31 }, { 31, 33, 33 }, { 257, 7, 65 } }; /* earlier, rows, columns */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            for (int with = 0; with < 2; with++)
                if (sizes[i][0] > 0 || which == ALL || which >= EQUAL)
                    add(which, sizes[i][0], (sb_shape){ sizes[i][1], 1, 1, sizes[i][2], SB_F32 },
                        with ? 1e-5f : 0, false);
    add(ALL, 33, (sb_shape){ 3, 2, 5, 33, SB_F32 }, 1e-5f, false);
    add(ALL, 192, (sb_shape){ 64, 1, 1, 8192, SB_F32 }, 1e-5f, true);
    sb_case_add_refusal("unit_columns: epsilon below 0", refuse_epsilon);
    sb_case_add_refusal("unit_columns: earlier rows of other columns", refuse_columns);
    sb_case_add_refusal("unit_columns: earlier rows, and not how many", refuse_no_used);
}
