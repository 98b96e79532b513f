/* wasserstein.c: columns against normal numbers. Quantiles here are found by bisection. All sums are f64's.
 */
#include "kernels/op/wasserstein.h"

#include <stdlib.h>

#include "tests/kernels/op_cases.h"

static size_t samples_of(const sb_reference *r)
{
    return (size_t)((const sb_wasserstein_how *)r->how)->samples;
}

static double quantile(double below)
{
    double low = -40, high = 40;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        *(0.5 * erfc(-middle / sqrt(2)) < below ? &low : &high) = middle;
    }
    return low;
}

/* A quantile is off by the roundings of a probability, and those of erfc: both relative to the smaller tail,
 * whose slope is its density. */
static void forward(sb_reference *r)
{
    size_t n = samples_of(r), columns = (size_t)r->xs[0].c, views = (size_t)r->ys.n;
    double *quantiles = sb_doubles(n);
    for (size_t i = 0; i < n; i++)
        quantiles[i] = i < n / 2 ? quantile((double)(i + 1) / (double)(n + 1))
                                 : -quantile((double)(n - i) / (double)(n + 1));
    for (size_t at = 0; at < views * columns; at++) {
        size_t first = at / columns * n * columns + at % columns;
        double sum = 0, bound = 0;
        for (size_t i = 0; i < n; i++) {
            double x = r->x[0][first + i * columns];
            size_t rank = 0;
            for (size_t k = 0; k < n; k++) {
                double other = r->x[0][first + k * columns];
                rank += other < x || (other == x && k < i);
            }
            double q = quantiles[rank], off = 64 * 0x1p-53 * (1 + fabs(q));
            r->aux[first + i * columns] = q;
            sum += pow(x - q, 2);
            bound += 2 * fabs(x - q) * off + off * off + 0x1p-53 * (double)(n + 4) * pow(x - q, 2);
            if (r->aux_bound)
                r->aux_bound[first + i * columns] = off;
        }
        r->y[at] = sum / (double)n;
        if (r->y_bound)
            r->y_bound[at] = bound / (double)n;
    }
    free(quantiles);
}

static void backward(sb_reference *r)
{
    size_t n = samples_of(r), columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++) {
        double dy = r->dy[i / columns / n * columns + i % columns];
        r->dx[0][i] = 2 * dy * (r->x[0][i] - r->aux[i]) / (double)n;
        r->dx_bound[0][i] = 0x1p-51 * fabs(r->dx[0][i]);
    }
}

/* Many equal values, and a column of one value. */
static void fill_equal(sb_trial *t, sb_reference *r)
{
    size_t columns = (size_t)r->xs[0].c;
    (void)t;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = (double)(i / columns % (1 + i % columns % 3)) - 1;
}

static void fill_large(sb_trial *t, sb_reference *r)
{
    (void)r;
    sb_fill_normal(t, sb_array_x(t, 0), 3, 1e4);
}

typedef enum { ORDINARY, EQUAL, LARGE, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { NULL, fill_equal, fill_large };
static const char *const texts[VALUES] = { "", ", equal values", ", large" };
static sb_op_test tests[VALUES];

static void add(values which, sb_shape x, int samples, bool timed)
{
    tests[which] = (sb_op_test){ .op = SB_OP_WASSERSTEIN,
                                 .how_bytes = sizeof(sb_wasserstein_how),
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(&tests[which], &(sb_wasserstein_how){ samples }, &x,
                   (sb_op_options){ .timed = timed, .no_differences = which != ORDINARY },
                   "[%d, %d, %d, %d] in views of %d%s", x.n, x.h, x.w, x.c, samples, texts[which]);
}

static int shape_of(int samples)
{
    sb_shape y;
    return sb_op_wasserstein.shape(&(sb_wasserstein_how){ samples }, &(sb_shape){ 6, 1, 1, 4, SB_F32 }, &y);
}

static int refuse_rows(sb_device *d) { return (void)d, shape_of(4); }
static int refuse_none(sb_device *d) { return (void)d, shape_of(0); }

void sb_cases_wasserstein(void)
{
    const int sizes[][3] = { { 1, 1, 1 },  { 1, 31, 33 }, { 2, 33, 31 },
                             { 3, 2, 31 }, { 1, 257, 2 }, { 2, 3, 257 } }; /* views, samples, columns */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            add(which, (sb_shape){ sizes[i][0] * sizes[i][1], 1, 1, sizes[i][2], SB_F32 }, sizes[i][1],
                false);
    add(ORDINARY, (sb_shape){ 3, 2, 5, 33, SB_F32 }, 10, false);
    add(ORDINARY, (sb_shape){ 128, 1, 1, 4096, SB_F32 }, 64, true);
    sb_case_add_refusal("wasserstein: rows that are no multiple of a view's", refuse_rows);
    sb_case_add_refusal("wasserstein: views of no rows", refuse_none);
}
