/* whiten.c: columns that vary by 1 and not together. The reference takes the columns one after another (Gram
 * and Schmidt): a column less what it has of those before it, made to vary by 1, is what Cholesky's factor
 * gives, too. Its gradient follows from that, step by step. Devices compute in f64, so all are off by
 * rounding alone, and by what an ill-conditioned covariance makes of it. */
#include "kernels/op/whiten.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/share/cholesky.h"
#include "tests/kernels/op_cases.h"

#define UNIT 0x1p-53

static size_t samples_of(const sb_reference *r) { return (size_t)((const sb_whiten_how *)r->how)->samples; }

static double dot(const double *a, const double *b, size_t n, size_t stride)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i * stride] * b[i * stride];
    return sum;
}

static void centre(double *column, size_t n, size_t stride)
{
    double mean = 0;
    for (size_t i = 0; i < n; i++)
        mean += column[i * stride];
    for (size_t i = 0; i < n; i++)
        column[i * stride] -= mean / (double)n; /* exact where all are equal */
}

/* The group's whitened columns y [n, d], and each column's length before it was divided, over sqrt(n - 1); 0
 * where it is explained. Returns the largest ratio of a column's deviation to what was left of it. */
static double whiten(const double *x, size_t n, size_t d, double *y, double *length)
{
    double condition = 1;
    for (size_t i = 0; i < n * d; i++)
        y[i] = x[i];
    for (size_t c = 0; c < d; c++) {
        centre(y + c, n, d);
        double variance = dot(y + c, y + c, n, d) / (double)(n - 1);
        for (int again = 0; again < 2; again++) /* twice is enough */
            for (size_t k = 0; k < c; k++) {
                double along = dot(y + c, y + k, n, d) / (double)(n - 1);
                for (size_t i = 0; i < n; i++)
                    y[i * d + c] -= along * y[i * d + k];
            }
        length[c] = sb_pivot_root(dot(y + c, y + c, n, d) / (double)(n - 1), variance);
        for (size_t i = 0; i < n; i++)
            y[i * d + c] = sb_over_pivot(y[i * d + c], length[c]);
        condition = length[c] > 0 ? fmax(condition, sqrt(variance) / length[c]) : condition;
    }
    return condition;
}

static void forward(sb_reference *r)
{
    const size_t n = samples_of(r), d = (size_t)r->xs[0].c, groups = sb_shape_rows(&r->xs[0]) / n;
    double *length = sb_doubles(d), most = 0;
    for (size_t g = 0; g < groups; g++) {
        const double *x = r->x[0] + g * n * d;
        double condition = whiten(x, n, d, r->y + g * n * d, length);
        for (size_t i = 0; i < n * d; i++)
            most = fmax(most, fabs(x[i]));
        for (size_t i = 0; i < n * d && r->y_bound; i++) /* a covariance has the square of the condition */
            r->y_bound[g * n * d + i] = 8 * UNIT * (double)(n + d) * (double)d * condition * condition *
                                        (length[i % d] > 0 ? sqrt((double)n) + most / length[i % d] : 0);
    }
    free(length);
}

/* From the last column to the first: of y_c = u / |u|, u = x_c - sum_k y_k <y_k, x_c>, all over n - 1. `y` is
 * what is kept, rounded; x_c that of the case. */
static void backward(sb_reference *r)
{
    const size_t n = samples_of(r), d = (size_t)r->xs[0].c, groups = sb_shape_rows(&r->xs[0]) / n;
    const double share = 1 / (double)(n - 1);
    double *y = sb_doubles(n * d), *length = sb_doubles(d), *dy = sb_doubles(n * d), *u = sb_doubles(n);
    for (size_t g = 0; g < groups; g++) {
        const double *x = r->x[0] + g * n * d;
        double condition = whiten(x, n, d, y, length), size = 0, least = INFINITY;
        for (size_t i = 0; i < n * d; i++) {
            dy[i] = r->dy[g * n * d + i];
            size += fabs(dy[i]);
        }
        for (size_t c = d; c-- > 0;) {
            double along = share * dot(y + c, dy + c, n, d);
            for (size_t i = 0; i < n; i++) /* du */
                u[i] = sb_over_pivot(dy[i * d + c] - y[i * d + c] * along, length[c]);
            least = length[c] > 0 ? fmin(least, length[c]) : least;
            double *out = r->dx[0] + g * n * d + c;
            for (size_t i = 0; i < n; i++)
                out[i * d] = u[i];
            for (size_t k = 0; k < c; k++) {
                double mean = 0, of_x = 0, of_u = 0;
                for (size_t i = 0; i < n; i++)
                    mean += x[i * d + c] / (double)n;
                for (size_t i = 0; i < n; i++) {
                    of_x += share * y[i * d + k] * (x[i * d + c] - mean);
                    of_u += share * y[i * d + k] * u[i];
                }
                for (size_t i = 0; i < n; i++) {
                    out[i * d] -= y[i * d + k] * of_u;
                    dy[i * d + k] -= of_x * u[i] + of_u * (x[i * d + c] - mean);
                }
            }
            centre(out, n, d);
        }
        for (size_t i = 0; i < n * d; i++) /* y is kept in f32 */
            r->dx_bound[0][g * n * d + i] = (least < INFINITY ? size / least : 0) * condition *
                                            (16 * SB_UNIT_F32 +
                                             8 * UNIT * (double)((n + d) * d) * condition * condition);
    }
    free(y);
    free(length);
    free(dy);
    free(u);
}

/* Columns of very different size, which depend on each other. */
static void fill_mixed(sb_trial *t, sb_reference *r)
{
    const size_t d = (size_t)r->xs[0].c;
    sb_fill_normal(t, sb_array_x(t, 0), 3, 1);
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = i % d > 0 ? 10 * r->x[0][i - 1] / (i % d > 1 ? 10 : 1) + r->x[0][i] : r->x[0][i];
}

static void fill_zero(sb_trial *t, sb_reference *r)
{
    (void)t;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = 0;
}

/* Every third column is that before it, and one has one value. */
static void fill_twice(sb_trial *t, sb_reference *r)
{
    const size_t d = (size_t)r->xs[0].c;
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = i % d == 0 && d > 1 ? 7 : i % d % 3 == 2 ? r->x[0][i - 1] : r->x[0][i];
}

typedef enum { ORDINARY, MIXED, ZERO, TWICE, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { NULL, fill_mixed, fill_zero,
                                                                     fill_twice };
static const char *const texts[VALUES] = { "", ", mixed columns", ", zeros", ", columns twice" };
static sb_op_test tests[VALUES];

static void add(values which, sb_shape x, int samples, bool timed)
{
    tests[which] = (sb_op_test){ .op = SB_OP_WHITEN,
                                 .how_bytes = sizeof(sb_whiten_how),
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(&tests[which], &(sb_whiten_how){ samples }, &x,
                   (sb_op_options){ .timed = timed, .no_differences = which >= ZERO },
                   "[%d, %d, %d, %d] in groups of %d%s", x.n, x.h, x.w, x.c, samples, texts[which]);
}

static int shape_of(int samples, int columns)
{
    sb_shape y;
    return sb_op_whiten.shape(&(sb_whiten_how){ samples }, &(sb_shape){ 6, 1, 1, columns, SB_F32 }, &y);
}

static int refuse_rows(sb_device *d) { return (void)d, shape_of(4, 4); }
static int refuse_one(sb_device *d) { return (void)d, shape_of(1, 4); }
static int refuse_columns(sb_device *d) { return (void)d, shape_of(6, 1025); }

void sb_cases_whiten(void)
{
    const int sizes[][3] = {
        { 1, 7, 1 }, { 1, 8, 3 }, { 2, 33, 8 }, { 3, 31, 6 }, { 1, 300, 33 }
    }; /* groups, samples, columns */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            add(which, (sb_shape){ sizes[i][0] * sizes[i][1], 1, 1, sizes[i][2], SB_F32 }, sizes[i][1],
                false);
    add(ORDINARY, (sb_shape){ 3, 2, 5, 7, SB_F32 }, 30, false);
    add(ORDINARY, (sb_shape){ 512, 1, 1, 64, SB_F32 }, 128, true);
    sb_case_add_refusal("whiten: rows that are no multiple of a group's", refuse_rows);
    sb_case_add_refusal("whiten: groups of one row", refuse_one);
    sb_case_add_refusal("whiten: more columns than there is room for", refuse_columns);
}
