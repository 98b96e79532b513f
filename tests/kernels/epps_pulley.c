/* epps_pulley.c: columns against normal numbers. A device computes in f64, and may turn a sine and a cosine
 * from knot to knot; aux alone is rounded to f32 on the way. */
#include "kernels/op/epps_pulley.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

#define UNIT 0x1p-53 /* of f64 */

static const sb_epps_pulley_how *how_of(const sb_reference *r) { return r->how; }

static double knot(const sb_reference *r, int j)
{
    return (double)how_of(r)->last * j / (how_of(r)->knots - 1);
}

static double weight(const sb_reference *r, int j)
{
    double ends = j == 0 || j == how_of(r)->knots - 1 ? 1 : 2;
    return ends * knot(r, 1) * exp(-pow(knot(r, j), 2) / 2);
}

/* What a sine or cosine at knot j may be off: the angle is rounded 8 times (the step, the knot, both over pi
 * and times x; here 3 times); a turn rounds 3 times a coordinate, with a sine and a cosine that are off by 2
 * units. */
static double lost(const sb_reference *r, int j, double x)
{
    return UNIT * (8 * knot(r, j) * fabs(x) + 8 * j + 8);
}

/* phi_j's exponent is rounded 5 times, its sum with the mean once. */
static void forward(sb_reference *r)
{
    int knots = how_of(r)->knots;
    size_t samples = (size_t)how_of(r)->samples, columns = (size_t)r->xs[0].c, views = (size_t)r->ys.n;
    for (size_t i = 0; i < views * columns; i++) {
        const double *x = r->x[0] + i / columns * samples * columns + i % columns;
        double sum = 0, bound = 0;
        for (int j = 0; j < knots; j++) {
            double t = knot(r, j), c = 0, s = 0, off = UNIT * ((double)samples + 5 * t * t + 8);
            for (size_t n = 0; n < samples; n++) {
                c += cos(t * x[n * columns]) / (double)samples;
                s += sin(t * x[n * columns]) / (double)samples;
                off += lost(r, j, x[n * columns]) / (double)samples;
            }
            double d = c - exp(-t * t / 2), w = (double)samples * weight(r, j);
            size_t at = (i / columns * (size_t)knots + (size_t)j) * 2 * columns + i % columns;
            r->aux[at] = d;
            r->aux[at + columns] = s;
            sum += w * (d * d + s * s);
            if (!r->y_bound)
                continue;
            r->aux_bound[at] = r->aux_bound[at + columns] = off;
            double d_off = off + SB_UNIT_F32 * (fabs(d) + off), s_off = off + SB_UNIT_F32 * (fabs(s) + off);
            bound += w * (2 * fabs(d) * d_off + d_off * d_off + 2 * fabs(s) * s_off + s_off * s_off);
            bound += w * (d * d + s * s) * UNIT * (5 * t * t + knots + 16);
        }
        r->y[i] = sum;
        if (r->y_bound)
            r->y_bound[i] = bound;
    }
}

/* The factors 2 w_j t_j are rounded 8 times beside the exponent of phi_j, a term 3 times. */
static void backward(sb_reference *r)
{
    int knots = how_of(r)->knots;
    size_t samples = (size_t)how_of(r)->samples, columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++) {
        size_t view = i / columns / samples, column = i % columns;
        double x = r->x[0][i], dy = r->dy[view * columns + column], sum = 0, bound = 0;
        for (int j = 0; j < knots; j++) {
            const double *d = r->aux + (view * (size_t)knots + (size_t)j) * 2 * columns + column;
            double t = knot(r, j), factor = 2 * weight(r, j) * t, s = d[columns];
            sum += factor * (s * cos(t * x) - d[0] * sin(t * x));
            bound += factor * (fabs(s) + fabs(d[0])) * (lost(r, j, x) + UNIT * (5 * t * t + knots + 16));
        }
        r->dx[0][i] = dy * sum;
        r->dx_bound[0][i] = fabs(dy) * bound;
    }
}

/* What the statistic is to tell from normal numbers: a mean that is not 0, and a deviation that is not 1. */
static void fill_shifted(sb_trial *t, sb_reference *r)
{
    (void)r;
    sb_fill_normal(t, sb_array_x(t, 0), 0.7, 0.3);
}

/* Many turns. */
static void fill_large(sb_trial *t, sb_reference *r)
{
    (void)r;
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1e4);
}

/* All of a column are one value, of every third 0. */
static void fill_collapsed(sb_trial *t, sb_reference *r)
{
    size_t columns = (size_t)r->xs[0].c;
    (void)t;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = (double)(i % columns % 3) / 2;
}

typedef enum { ORDINARY, SHIFTED, LARGE, COLLAPSED, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { NULL, fill_shifted, fill_large,
                                                                     fill_collapsed };
static const char *const texts[VALUES] = { "", ", shifted", ", large", ", collapsed" };
static sb_op_test tests[VALUES];

static void add(values which, sb_shape x, sb_epps_pulley_how how, bool timed)
{
    tests[which] = (sb_op_test){ .op = SB_OP_EPPS_PULLEY,
                                 .how_bytes = sizeof how,
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(&tests[which], &how, &x,
                   (sb_op_options){ .timed = timed, .no_differences = which == LARGE },
                   "[%d, %d, %d, %d] in views of %d, %d knots to %g%s", x.n, x.h, x.w, x.c, how.samples,
                   how.knots, (double)how.last, texts[which]);
}

static int shape_of(sb_epps_pulley_how how)
{
    sb_shape y;
    return sb_op_epps_pulley.shape(&how, &(sb_shape){ 6, 1, 1, 4, SB_F32 }, &y);
}

static int refuse_rows(sb_device *d) { return (void)d, shape_of((sb_epps_pulley_how){ 4, 17, 3 }); }
static int refuse_none(sb_device *d) { return (void)d, shape_of((sb_epps_pulley_how){ 0, 17, 3 }); }
static int refuse_one(sb_device *d) { return (void)d, shape_of((sb_epps_pulley_how){ 3, 1, 3 }); }
static int refuse_many(sb_device *d) { return (void)d, shape_of((sb_epps_pulley_how){ 3, 1025, 3 }); }
static int refuse_last(sb_device *d) { return (void)d, shape_of((sb_epps_pulley_how){ 3, 17, 0 }); }

void sb_cases_epps_pulley(void)
{
    const int sizes[][3] = { { 1, 1, 1 },  { 1, 31, 33 }, { 2, 33, 31 },
                             { 3, 1, 31 }, { 1, 255, 1 }, { 2, 3, 257 } }; /* views, samples, columns */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            add(which, (sb_shape){ sizes[i][0] * sizes[i][1], 1, 1, sizes[i][2], SB_F32 },
                (sb_epps_pulley_how){ sizes[i][1], 17, 3 }, false);
    add(ORDINARY, (sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_epps_pulley_how){ 10, 17, 3 }, false);
    add(ORDINARY, (sb_shape){ 62, 1, 1, 33, SB_F32 }, (sb_epps_pulley_how){ 31, 10, 2.7f }, false);
    add(SHIFTED, (sb_shape){ 6, 1, 1, 3, SB_F32 }, (sb_epps_pulley_how){ 3, 2, 1 }, false);
    add(SHIFTED, (sb_shape){ 6, 1, 1, 3, SB_F32 }, (sb_epps_pulley_how){ 3, SB_KNOTS_MAX, 5 }, false);
    add(ORDINARY, (sb_shape){ 128, 1, 1, 1024, SB_F32 }, (sb_epps_pulley_how){ 64, 17, 3 }, true);
    sb_case_add_refusal("epps_pulley: rows that are no multiple of a view's", refuse_rows);
    sb_case_add_refusal("epps_pulley: views of no rows", refuse_none);
    sb_case_add_refusal("epps_pulley: one knot", refuse_one);
    sb_case_add_refusal("epps_pulley: more knots than there is room for", refuse_many);
    sb_case_add_refusal("epps_pulley: the last knot at 0", refuse_last);
}
