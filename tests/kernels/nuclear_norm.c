/* nuclear_norm.c: the sum of singular values, and U V'. The reference has the eigenvectors of the smaller
 * Gram matrix, by two-sided Jacobi turns in a fixed order: x = U S V' has x x' = U S^2 U', and U V' = U S^-1
 * U' x. */
#include "kernels/op/nuclear_norm.h"

#include <stdlib.h>

#include "tests/kernels/op_cases.h"

/* a [k, k], symmetric, becomes diagonal; v: its eigenvectors, in columns. */
static void diagonalise(size_t k, double *a, double *v)
{
    for (size_t i = 0; i < k * k; i++)
        v[i] = i / k == i % k;
    for (int n = 0; n < 60; n++)
        for (size_t p = 0; p < k; p++)
            for (size_t q = p + 1; q < k; q++) {
                if (fabs(a[p * k + q]) <= 1e-18 * sqrt(fabs(a[p * k + p] * a[q * k + q])) ||
                    a[p * k + q] == 0)
                    continue;
                double zeta = (a[q * k + q] - a[p * k + p]) / (2 * a[p * k + q]);
                double t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta)),
                       c = 1 / sqrt(1 + t * t), s = c * t;
                for (size_t i = 0; i < k; i++) {
                    double x = a[i * k + p], y = a[i * k + q];
                    a[i * k + p] = c * x - s * y;
                    a[i * k + q] = s * x + c * y;
                }
                for (size_t i = 0; i < k; i++) {
                    double x = a[p * k + i], y = a[q * k + i];
                    a[p * k + i] = c * x - s * y;
                    a[q * k + i] = s * x + c * y;
                    x = v[i * k + p], y = v[i * k + q];
                    v[i * k + p] = c * x - s * y;
                    v[i * k + q] = s * x + c * y;
                }
            }
}

/* With the Gram matrix, singular values are known to some 1e-16 S_max^2 / S; values near the threshold for
 * what is rounding are in no case. U V' is off by 1e-15 S_max / S_min for a device, and by the square of that
 * here. */
static void forward(sb_reference *r)
{
    sb_call call = { .xs = { r->xs[0] } };
    sb_nuclear_norm s = sb_nuclear_norm_of(&call);
    size_t k = (size_t)s.count, length = (size_t)s.length;
    double *gram = sb_doubles(k * k), *v = sb_doubles(k * k), *inverse = sb_doubles(k), most = 0,
           least = INFINITY;
    const double *x = r->x[0];
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++) {
            gram[i * k + j] = 0;
            for (size_t l = 0; l < length; l++)
                gram[i * k + j] += x[i * s.across + l * s.along] * x[j * s.across + l * s.along];
        }
    diagonalise(k, gram, v);
    for (size_t i = 0; i < k; i++)
        most = fmax(most, gram[i * k + i]);
    r->y[0] = 0;
    for (size_t i = 0; i < k; i++) {
        double value = sqrt(fmax(gram[i * k + i], 0));
        bool counts = value > SB_NUCLEAR_LEAST * sqrt(most) && value > 0;
        inverse[i] = counts ? 1 / value : 0;
        r->y[0] += counts ? value : 0;
        least = counts ? fmin(least, value) : least;
    }
    double condition = most > 0 ? sqrt(most) / least : 1;
    if (r->y_bound)
        r->y_bound[0] = 0x1p-53 * (double)(16 * k + length) * condition * r->y[0];
    for (size_t i = 0; i < k; i++)
        for (size_t l = 0; l < length; l++) {
            double sum = 0;
            for (size_t e = 0; e < k && inverse[e] >= 0; e++) {
                double along = 0;
                for (size_t j = 0; j < k && inverse[e] > 0; j++)
                    along += v[j * k + e] * x[j * s.across + l * s.along];
                sum += v[i * k + e] * inverse[e] * along;
            }
            r->aux[i * s.across + l * s.along] = sum;
            if (r->aux_bound)
                r->aux_bound[i * s.across + l * s.along] = 0x1p-53 * (double)(16 * k + length) * condition *
                                                           condition;
        }
    free(gram);
    free(v);
    free(inverse);
}

static void backward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++) {
        r->dx[0][i] = r->dy[0] * r->aux[i];
        r->dx_bound[0][i] = SB_UNIT_F32 * fabs(r->dx[0][i]);
    }
}

static void fill_equal(sb_trial *t, sb_reference *r)
{
    (void)t;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = (double)(i % (size_t)r->xs[0].c) - 3.5;
}

static void fill_zero(sb_trial *t, sb_reference *r)
{
    (void)t;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = 0;
}

/* Half of the rows are those before them. */
static void fill_pairs(sb_trial *t, sb_reference *r)
{
    const size_t d = (size_t)r->xs[0].c;
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    for (size_t i = d; i < sb_shape_elements(&r->xs[0]); i++)
        if (i / d % 2 == 1)
            r->x[0][i] = r->x[0][i - d];
}

static void fill_large(sb_trial *t, sb_reference *r)
{
    (void)r;
    sb_fill_normal(t, sb_array_x(t, 0), 1, 1e4);
}

typedef enum { ORDINARY, EQUAL, ZERO, PAIRS, LARGE, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { NULL, fill_equal, fill_zero, fill_pairs,
                                                                     fill_large };
static const char *const texts[VALUES] = { "", ", equal rows", ", zeros", ", rows twice", ", large" };
static sb_op_test tests[VALUES];

static void add(values which, sb_shape x, bool timed)
{
    tests[which] = (sb_op_test){
        .op = SB_OP_NUCLEAR_NORM, .fill = fills[which], .forward = forward, .backward = backward
    };
    sb_op_case_add(&tests[which], NULL, &x,
                   (sb_op_options){ .timed = timed, .no_differences = which != ORDINARY },
                   "[%d, %d, %d, %d]%s", x.n, x.h, x.w, x.c, texts[which]);
}

static int refuse_sides(sb_device *d)
{
    sb_shape y;
    return (void)d, sb_op_nuclear_norm.shape(NULL, &(sb_shape){ 2049, 1, 1, 2049, SB_F32 }, &y);
}

void sb_cases_nuclear_norm(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 31 }, { 33, 1 }, { 2, 3 }, { 7, 64 }, { 31, 12 }, { 32, 70 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            add(which, (sb_shape){ sizes[i][0], 1, 1, sizes[i][1], SB_F32 }, false);
    add(ORDINARY, (sb_shape){ 3, 2, 2, 33, SB_F32 }, false);
    add(ORDINARY, (sb_shape){ 64, 1, 1, 512, SB_F32 }, true);
    add(ORDINARY, (sb_shape){ 256, 1, 1, 128, SB_F32 }, true);
    sb_case_add_refusal("nuclear_norm: of two sides that are too long", refuse_sides);
}
