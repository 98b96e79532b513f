/* logdet.c: the volume of a view's rows. The reference always has the side of the columns, and eliminates by
 * Gauss and Jordan: the inverse, and the product of the pivots. Devices compute in f64. */
#include "kernels/op/logdet.h"

#include <math.h>
#include <stdlib.h>

#include "tests/kernels/op_cases.h"

/* a [d, d], positive definite, becomes its inverse; the logarithm of its determinant. */
static double invert(double *a, size_t d)
{
    double sum = 0;
    for (size_t p = 0; p < d; p++) {
        double pivot = a[p * d + p];
        sum += log(pivot);
        a[p * d + p] = 1;
        for (size_t k = 0; k < d; k++)
            a[p * d + k] /= pivot;
        for (size_t i = 0; i < d; i++) {
            double factor = a[i * d + p];
            if (i == p)
                continue;
            a[i * d + p] = 0;
            for (size_t k = 0; k < d; k++)
                a[i * d + k] -= factor * a[p * d + k];
        }
    }
    return sum;
}

/* The condition is at most 1 + scale |X|^2, whose trace bounds it. */
static void forward(sb_reference *r)
{
    const sb_logdet_how *how = r->how;
    const size_t n = (size_t)how->samples, d = (size_t)r->xs[0].c, views = (size_t)r->ys.n;
    const double scale = how->scale;
    double *a = sb_doubles(d * d);
    for (size_t v = 0; v < views; v++) {
        const double *x = r->x[0] + v * n * d;
        double trace = 0, most = 0;
        for (size_t i = 0; i < d; i++)
            for (size_t k = 0; k < d; k++) {
                double sum = 0;
                for (size_t j = 0; j < n; j++)
                    sum += x[j * d + i] * x[j * d + k];
                a[i * d + k] = scale * sum + (i == k);
                trace += i == k ? scale * sum : 0;
            }
        for (size_t i = 0; i < n * d; i++)
            most = fmax(most, fabs(x[i]));
        r->y[v] = invert(a, d);
        double off = 0x1p-53 * (double)(8 * (n + d)) * (1 + trace);
        if (r->y_bound)
            r->y_bound[v] = off * (double)(n < d ? n : d);
        for (size_t j = 0; j < n; j++)
            for (size_t k = 0; k < d; k++) {
                double sum = 0;
                for (size_t i = 0; i < d; i++)
                    sum += x[j * d + i] * a[i * d + k];
                r->aux[v * n * d + j * d + k] = 2 * scale * sum;
                if (r->aux_bound)
                    r->aux_bound[v * n * d + j * d + k] = off * 2 * scale * most * (double)d;
            }
    }
    free(a);
}

static void backward(sb_reference *r)
{
    const size_t whole = (size_t)((const sb_logdet_how *)r->how)->samples * (size_t)r->xs[0].c;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++) {
        r->dx[0][i] = r->dy[i / whole] * r->aux[i];
        r->dx_bound[0][i] = SB_UNIT_F32 * fabs(r->dx[0][i]);
    }
}

static void fill_equal(sb_trial *t, sb_reference *r)
{
    (void)t;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = (double)(i % (size_t)r->xs[0].c) / 8 - 1;
}

static void fill_zero(sb_trial *t, sb_reference *r)
{
    (void)t;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = 0;
}

typedef enum { ORDINARY, EQUAL, ZERO, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { NULL, fill_equal, fill_zero };
static const char *const texts[VALUES] = { "", ", equal rows", ", zeros" };
static sb_op_test tests[VALUES];

static void add(values which, sb_shape x, sb_logdet_how how, bool timed)
{
    tests[which] = (sb_op_test){ .op = SB_OP_LOGDET,
                                 .how_bytes = sizeof how,
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(&tests[which], &how, &x,
                   (sb_op_options){ .timed = timed, .no_differences = which != ORDINARY },
                   "[%d, %d, %d, %d] in views of %d, scale %g%s", x.n, x.h, x.w, x.c, how.samples,
                   (double)how.scale, texts[which]);
}

static int shape_of(int rows, int samples, int columns, float scale)
{
    sb_shape y;
    return sb_op_logdet.shape(&(sb_logdet_how){ samples, scale }, &(sb_shape){ rows, 1, 1, columns, SB_F32 },
                              &y);
}

static int refuse_rows(sb_device *d) { return (void)d, shape_of(6, 4, 4, 1); }
static int refuse_none(sb_device *d) { return (void)d, shape_of(6, 0, 4, 1); }
static int refuse_sides(sb_device *d) { return (void)d, shape_of(2049, 2049, 2049, 1); }
static int refuse_scale(sb_device *d) { return (void)d, shape_of(6, 3, 4, 0); }

void sb_cases_logdet(void)
{
    const int sizes[][3] = {
        { 1, 1, 1 }, { 1, 31, 7 }, { 2, 7, 31 }, { 3, 8, 8 }, { 1, 1, 33 }, { 2, 70, 80 }
    }; /* views, samples, columns */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            for (int k = 0; k < 2; k++)
                add(which, (sb_shape){ sizes[i][0] * sizes[i][1], 1, 1, sizes[i][2], SB_F32 },
                    (sb_logdet_how){ sizes[i][1], k ? 8 : 0.03f }, false);
    add(ORDINARY, (sb_shape){ 3, 2, 5, 7, SB_F32 }, (sb_logdet_how){ 10, 0.5f }, false);
    add(ORDINARY, (sb_shape){ 128, 1, 1, 256, SB_F32 }, (sb_logdet_how){ 64, 8 }, true);
    sb_case_add_refusal("logdet: rows that are no multiple of a view's", refuse_rows);
    sb_case_add_refusal("logdet: views of no rows", refuse_none);
    sb_case_add_refusal("logdet: of two sides that are too long", refuse_sides);
    sb_case_add_refusal("logdet: scale 0", refuse_scale);
}
