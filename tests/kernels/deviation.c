/* deviation.c: deviations of columns. Sums are f64's; y is rounded to f32 before its gradient reads it. */
#include "kernels/op/deviation.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

#define UNIT 0x1p-53 /* of f64 */

static const sb_deviation_how *how_of(const sb_reference *r) { return r->how; }

/* The first value of the column that element i is in. */
static size_t first_of(const sb_reference *r, size_t i)
{
    size_t columns = (size_t)r->xs[0].c, samples = (size_t)how_of(r)->samples;
    return i / columns / samples * samples * columns + i % columns;
}

/* A column's mean; what a device's may be off. */
static double mean_of(const sb_reference *r, size_t first, double *off)
{
    size_t columns = (size_t)r->xs[0].c, samples = (size_t)how_of(r)->samples;
    double mean = 0, magnitude = 0;
    for (size_t n = 0; n < samples; n++) {
        mean += r->x[0][first + n * columns] / (double)samples;
        magnitude += fabs(r->x[0][first + n * columns]) / (double)samples;
    }
    *off = UNIT * (double)(2 * samples + 2) * magnitude;
    return mean;
}

/* With means that are off by e, a sum of squares is off by samples e^2, and by its own roundings. */
static void forward(sb_reference *r)
{
    size_t columns = (size_t)r->xs[0].c, samples = (size_t)how_of(r)->samples;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        size_t first = first_of(r, i / columns * samples * columns + i % columns);
        double off, mean = mean_of(r, first, &off), sum = 0;
        for (size_t n = 0; n < samples; n++)
            sum += pow(r->x[0][first + n * columns] - mean, 2);
        double variance = sum / (double)(samples - 1) + (double)how_of(r)->epsilon;
        r->y[i] = sqrt(variance);
        if (!r->y_bound)
            continue;
        double wrong = (UNIT * (double)(2 * samples + 8) * sum + 2 * (double)samples * off * off) /
                       (double)(samples - 1);
        r->y_bound[i] = sqrt(variance + wrong) - r->y[i] + 2 * UNIT * r->y[i];
    }
}

static void backward(sb_reference *r)
{
    size_t columns = (size_t)r->xs[0].c, samples = (size_t)how_of(r)->samples;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++) {
        size_t at = i / columns / samples * columns + i % columns;
        double off, mean = mean_of(r, first_of(r, i), &off), y = r->y[at];
        double factor = y > 0 ? r->dy[at] / ((double)(samples - 1) * y) : 0;
        r->dx[0][i] = factor * (r->x[0][i] - mean);
        r->dx_bound[0][i] = fabs(factor) * off + 8 * UNIT * fabs(r->dx[0][i]);
    }
}

/* All rows of a group are one: with epsilon 0 a deviation is 0, and so is its gradient. */
static void fill_equal(sb_trial *t, sb_reference *r)
{
    (void)t;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = (double)(i % (size_t)r->xs[0].c) - 3;
}

static void fill_far(sb_trial *t, sb_reference *r)
{
    (void)r;
    sb_fill_normal(t, sb_array_x(t, 0), 100, 1);
}

typedef enum { ORDINARY, EQUAL, FAR, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { NULL, fill_equal, fill_far };
static const char *const texts[VALUES] = { "", ", equal rows", ", far from 0" };
static sb_op_test tests[VALUES];

static void add(values which, sb_shape x, sb_deviation_how how, bool timed)
{
    tests[which] = (sb_op_test){ .op = SB_OP_DEVIATION,
                                 .how_bytes = sizeof how,
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(&tests[which], &how, &x,
                   (sb_op_options){ .timed = timed, .no_differences = which == EQUAL },
                   "[%d, %d, %d, %d] in groups of %d, epsilon %g%s", x.n, x.h, x.w, x.c, how.samples,
                   (double)how.epsilon, texts[which]);
}

static int shape_of(int samples, float epsilon)
{
    sb_shape y;
    return sb_op_deviation.shape(&(sb_deviation_how){ samples, epsilon }, &(sb_shape){ 6, 1, 1, 4, SB_F32 },
                                 &y);
}

static int refuse_rows(sb_device *d) { return (void)d, shape_of(4, 0); }
static int refuse_one(sb_device *d) { return (void)d, shape_of(1, 0); }
static int refuse_epsilon(sb_device *d) { return (void)d, shape_of(3, -1); }

void sb_cases_deviation(void)
{
    const int sizes[][3] = { { 1, 2, 1 },   { 1, 31, 33 }, { 2, 33, 31 },
                             { 1, 257, 1 }, { 2, 3, 257 }, { 4, 7, 64 } }; /* groups, rows of each, columns */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            for (int with = 0; with < 2; with++)
                add(which, (sb_shape){ sizes[i][0] * sizes[i][1], 1, 1, sizes[i][2], SB_F32 },
                    (sb_deviation_how){ sizes[i][1], with ? 1e-4f : 0 }, false);
    add(ORDINARY, (sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_deviation_how){ 10, 1e-4f }, false);
    add(ORDINARY, (sb_shape){ 512, 1, 1, 8192, SB_F32 }, (sb_deviation_how){ 256, 1e-4f }, true);
    sb_case_add_refusal("deviation: rows that are no multiple of a group's", refuse_rows);
    sb_case_add_refusal("deviation: groups of one row", refuse_one);
    sb_case_add_refusal("deviation: epsilon below 0", refuse_epsilon);
}
