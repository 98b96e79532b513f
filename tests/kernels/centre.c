/* centre.c: columns without their means. Sums are f64's. */
#include "kernels/op/centre.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

/* A mean is off by the roundings of its sum in f64. */
static void centre(const sb_reference *r, const double *x, double *y, double *bound)
{
    size_t columns = (size_t)r->xs[0].c, samples = (size_t)((const sb_centre_how *)r->how)->samples;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++) {
        size_t first = i / columns / samples * samples * columns + i % columns;
        double mean = 0, magnitude = 0;
        for (size_t n = 0; n < samples; n++) {
            mean += x[first + n * columns] / (double)samples;
            magnitude += fabs(x[first + n * columns]) / (double)samples;
        }
        y[i] = x[i] - mean;
        if (bound)
            bound[i] = 0x1p-53 * ((double)(2 * samples + 4) * magnitude + fabs(y[i]));
    }
}

static void forward(sb_reference *r) { centre(r, r->x[0], r->y, r->y_bound); }
static void backward(sb_reference *r) { centre(r, r->dy, r->dx[0], r->dx_bound[0]); }

/* All rows of a group are one. */
static void fill_equal(sb_trial *t, sb_reference *r)
{
    size_t columns = (size_t)r->xs[0].c, samples = (size_t)((const sb_centre_how *)r->how)->samples;
    sb_fill_normal(t, sb_array_x(t, 0), 1000, 1);
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = r->x[0][i / columns / samples * samples * columns + i % columns];
}

static void fill_far(sb_trial *t, sb_reference *r)
{
    (void)r;
    sb_fill_normal(t, sb_array_x(t, 0), 1e4, 1e-2);
}

typedef enum { ORDINARY, EQUAL, FAR, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { NULL, fill_equal, fill_far };
static const char *const texts[VALUES] = { "", ", equal rows", ", far from 0" };
static sb_op_test tests[VALUES];

static void add(values which, sb_shape x, int samples, bool timed)
{
    tests[which] = (sb_op_test){ .op = SB_OP_CENTRE,
                                 .how_bytes = sizeof(sb_centre_how),
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(&tests[which], &(sb_centre_how){ samples }, &x, (sb_op_options){ .timed = timed },
                   "[%d, %d, %d, %d] in groups of %d%s", x.n, x.h, x.w, x.c, samples, texts[which]);
}

static int shape_of(int samples)
{
    sb_shape y;
    return sb_op_centre.shape(&(sb_centre_how){ samples }, &(sb_shape){ 6, 1, 1, 4, SB_F32 }, &y);
}

static int refuse_rows(sb_device *d) { return (void)d, shape_of(4); }
static int refuse_none(sb_device *d) { return (void)d, shape_of(0); }

void sb_cases_centre(void)
{
    const int sizes[][3] = { { 1, 1, 1 },   { 1, 31, 33 }, { 2, 33, 31 }, { 3, 1, 31 },
                             { 1, 257, 1 }, { 2, 3, 257 }, { 4, 7, 64 } }; /* groups, rows of each, columns */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            add(which, (sb_shape){ sizes[i][0] * sizes[i][1], 1, 1, sizes[i][2], SB_F32 }, sizes[i][1],
                false);
    add(ORDINARY, (sb_shape){ 3, 2, 5, 33, SB_F32 }, 10, false);
    add(ORDINARY, (sb_shape){ 512, 1, 1, 8192, SB_F32 }, 256, true);
    sb_case_add_refusal("centre: rows that are no multiple of a group's", refuse_rows);
    sb_case_add_refusal("centre: groups of no rows", refuse_none);
}
