/* logsumexp_pairs.c: log-sum-exp over pairs of rows. */
#include "kernels/op/logsumexp_pairs.h"

#include <math.h>
#include <stdlib.h>

#include "tests/kernels/places.h"

/* <z_i, z_j> / temperature, or -INFINITY where j is left out of row i, and how far off it may be: the error
 * of <|z_i|, |z_j|>. */
static double logit(const sb_reference *r, size_t i, size_t j, double *error)
{
    const sb_logsumexp_pairs_how *how = r->how;
    size_t width = (size_t)r->xs[0].c, samples = (size_t)how->samples, a = i % samples, b = j % samples;
    double sum = 0, magnitude = 0;
    *error = 0;
    if (i == j || (a == b && !how->positives) || (a != b && r->x[1] && sb_places_meet(r->x[1], a, b)))
        return -INFINITY;
    for (size_t k = 0; k < width; k++) {
        double term = r->x[0][i * width + k] * r->x[0][j * width + k];
        sum += term;
        magnitude += fabs(term);
    }
    *error = sb_growth((double)width) * SB_UNIT_F32 * magnitude / how->temperature;
    return sum / how->temperature;
}

/* The bound is the mean of the logits' errors, weighted as the sum weighs them, and the sum's own. */
static void forward(sb_reference *r)
{
    const sb_logsumexp_pairs_how *how = r->how;
    size_t rows = sb_shape_rows(&r->xs[0]);
    double *logits = sb_doubles(rows), *errors = sb_doubles(rows);
    for (size_t i = 0; i < rows; i++) {
        double most = -INFINITY, sum = 0;
        for (size_t j = 0; j < rows; j++) {
            logits[j] = logit(r, i, j, &errors[j]);
            most = fmax(most, logits[j]);
        }
        for (size_t j = 0; j < rows && most > -INFINITY; j++)
            sum += exp(logits[j] - most);
        r->aux[i] = most > -INFINITY ? most + log(sum) : -INFINITY;
        r->y[i] = most > -INFINITY ? r->aux[i] : how->empty;
        if (most == -INFINITY || !r->y_bound)
            continue;
        double bound = sb_growth((double)rows) * SB_UNIT_F32;
        for (size_t j = 0; j < rows; j++)
            bound += exp(logits[j] - r->aux[i]) * errors[j];
        r->y_bound[i] = r->aux_bound[i] = bound;
    }
    free(logits);
    free(errors);
}

/* Each weight is wrong, relatively, by its logit's error and by what the exponent's subtraction loses. dz is
 * summed on top of what it held: one of many values is off by some standard deviations of `rows` roundings.
 */
static void backward(sb_reference *r)
{
    const sb_logsumexp_pairs_how *how = r->how;
    size_t rows = sb_shape_rows(&r->xs[0]), width = (size_t)r->xs[0].c;
    for (size_t k = 0; k < rows * width; k++) {
        r->dx[0][k] = 0;
        r->dx_bound[0][k] = 3 * sb_growth((double)rows) * SB_UNIT_F32 * sb_held(r->dx_held[0], k);
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < rows; j++) {
            double error, s = logit(r, i, j, &error);
            if (s == -INFINITY)
                continue;
            double mine = r->dy[i] * exp(s - r->aux[i]), its = r->dy[j] * exp(s - r->aux[j]);
            double lost = fabs(s) + fmax(fabs(r->aux[i]), fabs(r->aux[j]));
            double relative = error + SB_UNIT_F32 * (lost + sb_growth((double)rows));
            for (size_t k = 0; k < width; k++) {
                double z = r->x[0][j * width + k] / how->temperature;
                r->dx[0][i * width + k] += (mine + its) * z;
                r->dx_bound[0][i * width + k] += (fabs(mine) + fabs(its)) * relative * fabs(z);
            }
        }
}

/* ---- values: unit vectors, and which samples overlap ---- */

static void fill_units(sb_trial *t, sb_reference *r)
{
    size_t width = (size_t)r->xs[0].c;
    sb_fill_normal(t, &t->arrays[0], 0, 1);
    for (size_t i = 0; i < t->arrays[0].count; i += width) {
        double square = 0;
        for (size_t k = 0; k < width; k++)
            square += pow(r->x[0][i + k], 2);
        for (size_t k = 0; k < width; k++)
            r->x[0][i + k] /= sqrt(square);
    }
}

static void fill_some(sb_trial *t, sb_reference *r)
{
    fill_units(t, r);
    sb_fill_crowd(t, r->x[1], r->xs[1].n);
}

/* The first is nobody's negative, so that without positives nothing is left. */
static void fill_first(sb_trial *t, sb_reference *r)
{
    fill_units(t, r);
    sb_fill_beside_first(r->x[1], r->xs[1].n);
}

/* A network that has collapsed: every row is the first. */
static void fill_equal(sb_trial *t, sb_reference *r)
{
    fill_units(t, r);
    for (size_t i = (size_t)r->xs[0].c; i < t->arrays[0].count; i++)
        r->x[0][i] = r->x[0][i - (size_t)r->xs[0].c];
}

/* Every other row is 0. */
static void fill_zero(sb_trial *t, sb_reference *r)
{
    fill_units(t, r);
    for (size_t i = 0; i < t->arrays[0].count; i++)
        if (i / (size_t)r->xs[0].c % 2 == 0)
            r->x[0][i] = 0;
}

typedef enum { UNITS, SOME, FIRST, EQUAL, ZERO, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { fill_units, fill_some, fill_first,
                                                                     fill_equal, fill_zero };
static const char *const texts[VALUES] = { "", ", some overlap", ", the first overlaps", ", equal rows",
                                           ", rows of zeros" };
static sb_op_test tests[VALUES];

static void add(values which, int views, int width, sb_logsumexp_pairs_how how, sb_op_options options)
{
    sb_shape xs[2] = { { how.samples * views, 1, 1, width, SB_F32 } };
    if (which == SOME || which == FIRST)
        xs[1] = (sb_shape){ how.samples, 1, 1, 4, SB_I32 };
    tests[which] = (sb_op_test){ .op = SB_OP_LOGSUMEXP_PAIRS,
                                 .how_bytes = sizeof how,
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(&tests[which], &how, xs, options, "%d samples, %d views, %d wide, T %g%s, empty %g%s",
                   how.samples, views, width, (double)how.temperature, how.positives ? "" : ", no positives",
                   (double)how.empty, texts[which]);
}

static int shape_of(int rows, int samples, float temperature, sb_shape places)
{
    sb_shape y;
    return sb_op_logsumexp_pairs.shape(&(sb_logsumexp_pairs_how){ samples, temperature, false, 0 },
                                       (sb_shape[]){ { rows, 1, 1, 4, SB_F32 }, places }, &y);
}

static int refuse_views(sb_device *d) { return (void)d, shape_of(8, 3, 0.1f, (sb_shape){ 0 }); }
static int refuse_temperature(sb_device *d) { return (void)d, shape_of(8, 4, 0, (sb_shape){ 0 }); }
static int refuse_places(sb_device *d)
{
    return (void)d, shape_of(8, 4, 0.1f, (sb_shape){ 8, 1, 1, 4, SB_I32 });
}
static int refuse_type(sb_device *d)
{
    return (void)d, shape_of(8, 4, 0.1f, (sb_shape){ 4, 1, 1, 4, SB_F32 });
}

void sb_cases_logsumexp_pairs(void)
{
    const struct {
        int samples, views, width;
        float temperature;
    } sizes[] = { { 1, 1, 31, 0.1f },   { 1, 2, 33, 0.1f },   { 2, 2, 1, 0.5f },   { 3, 3, 128, 0.02f },
                  { 31, 2, 33, 0.1f },  { 33, 1, 257, 0.1f }, { 17, 4, 31, 0.5f }, { 255, 1, 16, 1 },
                  { 257, 1, 31, 0.1f }, { 128, 2, 64, 0.07f } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sb_logsumexp_pairs_how how = { sizes[i].samples, sizes[i].temperature, .empty = 0.25f };
        for (int positives = 0; positives < 2; positives++)
            for (values which = UNITS; which <= FIRST; which++) {
                how.positives = positives;
                add(which, sizes[i].views, sizes[i].width, how, (sb_op_options){ 0 });
            }
        how.positives = false;
        how.empty = -INFINITY; /* the loss is infinite: it has no differences */
        add(FIRST, sizes[i].views, sizes[i].width, how, (sb_op_options){ .no_differences = true });
        how = (sb_logsumexp_pairs_how){ sizes[i].samples, 0.02f, .positives = i % 2, .empty = 0 };
        add(EQUAL, sizes[i].views, sizes[i].width, how, (sb_op_options){ 0 });
        add(ZERO, sizes[i].views, sizes[i].width, how, (sb_op_options){ 0 });
    }
    const sb_logsumexp_pairs_how real = { 512, 0.1f, .positives = false, .empty = -INFINITY };
    add(UNITS, 2, 128, real, (sb_op_options){ .timed = true });
    add(UNITS, 2, 2048, real, (sb_op_options){ .timed = true });
    add(SOME, 2, 128, real, (sb_op_options){ .timed = true });
    sb_case_add_refusal("logsumexp_pairs: a view is missing", refuse_views);
    sb_case_add_refusal("logsumexp_pairs: at temperature 0", refuse_temperature);
    sb_case_add_refusal("logsumexp_pairs: places of other samples", refuse_places);
    sb_case_add_refusal("logsumexp_pairs: places that are no whole numbers", refuse_type);
}
