/* cases_norm.c: batch normalisation, every combination of its flags. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/cases.h"
#include "tests/kernels/reference.h"

typedef struct {
    sb_norm_shape shape;
    double offset; /* of the inputs, in deviations: what a naive sum of squares loses its digits on */
    bool affine;   /* gamma and beta are given */
    bool more;     /* dy_more is */
    bool in_place; /* dresidual is dy's memory */
    bool accumulate;
} parameters;

enum { X, RESIDUAL, GAMMA, BETA, MEAN, VARIANCE, Y, DY, DY_MORE, DX, DRESIDUAL, DGAMMA, DBETA };

static const parameters *of(const sb_trial *t) { return t->parameters; }

static size_t elements(const sb_norm_shape *s) { return (size_t)s->rows * (size_t)s->channels; }

static void declare(sb_trial *t, sb_array_role statistics, sb_array_role y)
{
    const parameters *p = of(t);
    const sb_norm_shape *s = &p->shape;
    size_t channels = (size_t)s->channels, all = elements(s);
    sb_fill_normal(t, sb_array_add(t, "x", sb_array_type_of(s->type), SB_ARRAY_GIVEN, all), p->offset, 1);
    sb_fill_normal(t, sb_array_add(t, "residual", sb_array_type_of(s->type), SB_ARRAY_GIVEN, s->residual ? all : 0), 0, 1);
    sb_fill_normal(t, sb_array_add(t, "gamma", SB_ARRAY_F32, SB_ARRAY_GIVEN, p->affine ? channels : 0), 0.5, 1);
    sb_fill_normal(t, sb_array_add(t, "beta", SB_ARRAY_F32, SB_ARRAY_GIVEN, p->affine ? channels : 0), 0, 1);
    sb_array *mean = sb_array_add(t, "mean", SB_ARRAY_F32, statistics, channels);
    sb_array *variance = sb_array_add(t, "variance", SB_ARRAY_F32, statistics, channels);
    sb_array_add(t, "y", sb_array_type_of(s->type), y, all);
    sb_reference_norm_statistics(s, sb_value(t, X), mean->value, variance->value);
    if (statistics == SB_ARRAY_GIVEN) {
        sb_array_round(mean);
        sb_array_round(variance);
    }
}

static void prepare_forward(sb_trial *t) { declare(t, SB_ARRAY_WRITTEN, SB_ARRAY_WRITTEN); }

/* Statistics of other data. */
static void prepare_apply(sb_trial *t)
{
    declare(t, SB_ARRAY_GIVEN, SB_ARRAY_WRITTEN);
    sb_fill_normal(t, &t->arrays[MEAN], of(t)->offset, 1);
    sb_fill_uniform(t, &t->arrays[VARIANCE], 0.1, 3);
}

/* Moves values away from the ReLU's kink, where roundings would decide whether a gradient passes. */
static void clear_kink(sb_trial *t)
{
    sb_norm_shape s = of(t)->shape;
    size_t all = elements(&s), found = 1;
    double *y = sb_doubles(all);
    s.relu = false;
    for (int tries = 0; found > 0 && tries < 100; tries++) {
        sb_reference_norm_statistics(&s, sb_value(t, X), sb_value(t, MEAN), sb_value(t, VARIANCE));
        sb_array_round(&t->arrays[MEAN]);
        sb_array_round(&t->arrays[VARIANCE]);
        sb_reference_norm_apply(&s, sb_value(t, X), sb_value(t, RESIDUAL), sb_value(t, GAMMA), sb_value(t, BETA), sb_value(t, MEAN),
                                sb_value(t, VARIANCE), y);
        found = 0;
        for (size_t i = 0; i < all; i++)
            if (fabs(y[i]) < 1e-4 * (1 + fabs(sb_value(t, X)[i]))) {
                sb_value(t, X)[i] += 0.1;
                found++;
            }
        sb_array_round(&t->arrays[X]);
    }
    free(y);
}

static void prepare_backward(sb_trial *t)
{
    const parameters *p = of(t);
    const sb_norm_shape *s = &p->shape;
    sb_array_role updated = p->accumulate ? SB_ARRAY_UPDATED : SB_ARRAY_WRITTEN;
    sb_array_type type = sb_array_type_of(s->type);
    size_t all = elements(s), channels = p->affine ? (size_t)s->channels : 0;
    declare(t, SB_ARRAY_GIVEN, SB_ARRAY_GIVEN);
    if (s->relu)
        clear_kink(t);
    sb_reference_norm_apply(s, sb_value(t, X), sb_value(t, RESIDUAL), sb_value(t, GAMMA), sb_value(t, BETA), sb_value(t, MEAN),
                            sb_value(t, VARIANCE), sb_value(t, Y));
    sb_array_round(&t->arrays[Y]);
    sb_fill_normal(t, sb_array_add(t, "dy", type, p->in_place ? SB_ARRAY_UPDATED : SB_ARRAY_GIVEN, all), 0.1, 1);
    sb_fill_normal(t, sb_array_add(t, "dy_more", type, SB_ARRAY_GIVEN, p->more ? all : 0), 0, 1);
    sb_array_add(t, "dx", type, SB_ARRAY_WRITTEN, all)->gradient_of = s->rows > 2 ? X : -1; /* of two rows: 0 but for epsilon */
    sb_array_add(t, "dresidual", type, SB_ARRAY_WRITTEN, s->residual && !p->in_place ? all : 0)->gradient_of = RESIDUAL;
    sb_array *dgamma = sb_array_add(t, "dgamma", SB_ARRAY_F32, updated, channels);
    sb_array *dbeta = sb_array_add(t, "dbeta", SB_ARRAY_F32, updated, channels);
    dgamma->gradient_of = GAMMA;
    dbeta->gradient_of = BETA;
    sb_fill_normal(t, dgamma, 0, 10);
    sb_fill_normal(t, dbeta, 0, 10);
}

static int open_norm(sb_trial *t, sb_device *device)
{
    t->scratch_bytes = device->norm_scratch(device, &of(t)->shape);
    return 0;
}

static int call_forward(sb_trial *t, sb_device *d)
{
    return d->norm_forward(d, &of(t)->shape, sb_memory(t, X), sb_memory(t, RESIDUAL), sb_memory(t, GAMMA), sb_memory(t, BETA),
                           sb_memory(t, Y), sb_memory(t, MEAN), sb_memory(t, VARIANCE), t->scratch);
}

static int call_apply(sb_trial *t, sb_device *d)
{
    return d->norm_apply(d, &of(t)->shape, sb_memory(t, X), sb_memory(t, RESIDUAL), sb_memory(t, GAMMA), sb_memory(t, BETA),
                         sb_memory(t, MEAN), sb_memory(t, VARIANCE), sb_memory(t, Y), t->scratch);
}

static int call_backward(sb_trial *t, sb_device *d)
{
    const parameters *p = of(t);
    return d->norm_backward(d, &p->shape, sb_memory(t, X), p->shape.relu && p->shape.residual ? sb_memory(t, Y) : NULL, sb_memory(t, DY),
                            sb_memory(t, DY_MORE), sb_memory(t, GAMMA), sb_memory(t, BETA), sb_memory(t, MEAN), sb_memory(t, VARIANCE), sb_memory(t, DX), sb_memory(t, p->in_place ? DY : DRESIDUAL),
                            sb_memory(t, DGAMMA), sb_memory(t, DBETA), p->accumulate, t->scratch);
}

/* y from given statistics, and its bound: a few roundings of each term, and what errors of the statistics do to it. */
static void apply(sb_trial *t, const double *mean, const double *variance, const double *mean_bound, const double *variance_bound)
{
    const parameters *p = of(t);
    const sb_norm_shape *s = &p->shape;
    const double *x = sb_value(t, X), *residual = sb_value(t, RESIDUAL), *gamma = sb_value(t, GAMMA), *beta = sb_value(t, BETA);
    sb_reference_norm_apply(s, x, residual, gamma, beta, mean, variance, sb_wanted(t, Y));
    for (size_t i = 0; i < elements(s); i++) {
        size_t c = i % (size_t)s->channels;
        double scale = (gamma ? fabs(gamma[c]) : 1) / sqrt(variance[c] + s->epsilon), distance = fabs(x[i] - mean[c]);
        double magnitude = scale * (fabs(x[i]) + fabs(mean[c])) + (beta ? fabs(beta[c]) : 0) + (s->residual ? fabs(residual[i]) : 0);
        t->arrays[Y].bound[i] = sb_growth(1) * SB_UNIT_F32 * magnitude + scale * mean_bound[c] +
                                scale * distance * variance_bound[c] / 2 / (variance[c] + s->epsilon);
    }
}

/* The mean's terms are the values, the variance's the squared distances. Both may be taken from a shift, such as the first row, which may be four
 * deviations from the mean. */
static void reference_forward(sb_trial *t)
{
    const sb_norm_shape *s = &of(t)->shape;
    const double *x = sb_value(t, X);
    double *magnitude = sb_doubles((size_t)s->channels);
    sb_reference_norm_statistics(s, x, sb_wanted(t, MEAN), sb_wanted(t, VARIANCE));
    for (size_t i = 0; i < elements(s); i++)
        magnitude[i % (size_t)s->channels] += fabs(x[i]) / s->rows;
    for (int c = 0; c < s->channels; c++)
        magnitude[c] += 4 * sqrt(sb_wanted(t, VARIANCE)[c]);
    sb_array_bound(&t->arrays[MEAN], s->rows, magnitude);
    for (int c = 0; c < s->channels; c++)
        magnitude[c] = 16 * sb_wanted(t, VARIANCE)[c];
    sb_array_bound(&t->arrays[VARIANCE], s->rows, magnitude);
    apply(t, sb_wanted(t, MEAN), sb_wanted(t, VARIANCE), t->arrays[MEAN].bound, t->arrays[VARIANCE].bound);
    free(magnitude);
}

static void reference_apply(sb_trial *t)
{
    double *none = sb_doubles((size_t)of(t)->shape.channels);
    apply(t, sb_value(t, MEAN), sb_value(t, VARIANCE), none, none);
    free(none);
}

static void reference_backward(sb_trial *t)
{
    const parameters *p = of(t);
    const sb_norm_shape *s = &p->shape;
    size_t all = elements(s), channels = (size_t)s->channels;
    int kept = p->in_place ? DY : DRESIDUAL;
    const double *x = sb_value(t, X), *gamma = sb_value(t, GAMMA), *mean = sb_value(t, MEAN), *variance = sb_value(t, VARIANCE);
    double *g = sb_doubles(all), *sum = sb_doubles(channels), *product = sb_doubles(channels), *inverse = sb_doubles(channels);
    sb_reference_norm_backward(s, x, sb_value(t, Y), sb_value(t, DY), sb_value(t, DY_MORE), gamma, mean, variance, sb_wanted(t, DX), g,
                               sb_wanted(t, DGAMMA), sb_wanted(t, DBETA));
    for (size_t c = 0; c < channels; c++)
        inverse[c] = 1 / sqrt(variance[c] + s->epsilon);
    for (size_t i = 0; i < all; i++) {
        size_t c = i % channels;
        sum[c] += fabs(g[i]);
        product[c] += fabs(g[i]) * (fabs(x[i]) + fabs(mean[c])) * inverse[c];
        if (s->residual) {
            sb_wanted(t, kept)[i] = g[i];
            t->arrays[kept].bound[i] = SB_UNIT_F32 * fabs(g[i]); /* rounded as a sum, then to the type */
        }
    }
    for (size_t i = 0; i < all; i++) {
        size_t c = i % channels;
        double scale = (gamma ? fabs(gamma[c]) : 1) * inverse[c], normal = (fabs(x[i]) + fabs(mean[c])) * inverse[c];
        double magnitude = scale * (fabs(g[i]) + (sum[c] + normal * product[c]) / s->rows);
        t->arrays[DX].bound[i] = sb_growth(s->rows) * SB_UNIT_F32 * magnitude;
        if (s->residual && s->type == SB_BF16) /* the second pass may read g where it was kept, in bf16 */
            t->arrays[DX].bound[i] += SB_UNIT_BF16 * scale * fabs(g[i]);
    }
    for (size_t c = 0; c < channels && p->affine; c++)
        for (int i = 0; i < 2; i++) {
            sb_array *a = &t->arrays[i ? DBETA : DGAMMA];
            double *magnitude = i ? sum : product;
            if (p->accumulate) {
                a->wanted[c] += a->value[c];
                magnitude[c] += fabs(a->value[c]);
            }
            a->bound[c] = sb_growth(s->rows) * SB_UNIT_F32 * magnitude[c];
        }
    free(g);
    free(sum);
    free(product);
    free(inverse);
}

/* <dy + dy_more, norm(x)> with x's own statistics. */
static double loss(const sb_trial *t)
{
    const parameters *p = of(t);
    const sb_norm_shape *s = &p->shape;
    size_t all = elements(s), channels = (size_t)s->channels;
    double *mean = sb_doubles(channels), *variance = sb_doubles(channels), *y = sb_doubles(all), sum = 0;
    sb_reference_norm_statistics(s, sb_value(t, X), mean, variance);
    sb_reference_norm_apply(s, sb_value(t, X), sb_value(t, RESIDUAL), sb_value(t, GAMMA), sb_value(t, BETA), mean, variance, y);
    for (size_t i = 0; i < all; i++)
        sum += y[i] * (sb_value(t, DY)[i] + (p->more ? sb_value(t, DY_MORE)[i] : 0));
    free(mean);
    free(variance);
    free(y);
    return sum;
}

static const sb_operation forward = { .name = "norm_forward", .prepare = prepare_forward, .open = open_norm, .call = call_forward,
                                      .reference = reference_forward };
static const sb_operation applied = { .name = "norm_apply", .prepare = prepare_apply, .open = open_norm, .call = call_apply,
                                      .reference = reference_apply };
static const sb_operation backward = { .name = "norm_backward", .prepare = prepare_backward, .open = open_norm, .call = call_backward,
                                       .reference = reference_backward, .loss = loss };

/* ---- running statistics ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    int channels, rows;
    float momentum;
} running_parameters;

enum { BATCH_MEAN, BATCH_VARIANCE, RUNNING_MEAN, RUNNING_VARIANCE };

static void prepare_running(sb_trial *t)
{
    const running_parameters *p = t->parameters;
    sb_fill_normal(t, sb_array_add(t, "mean", SB_ARRAY_F32, SB_ARRAY_GIVEN, (size_t)p->channels), 0, 1);
    sb_fill_uniform(t, sb_array_add(t, "variance", SB_ARRAY_F32, SB_ARRAY_GIVEN, (size_t)p->channels), 0, 2);
    sb_fill_normal(t, sb_array_add(t, "running mean", SB_ARRAY_F32, SB_ARRAY_UPDATED, (size_t)p->channels), 0, 1);
    sb_fill_uniform(t, sb_array_add(t, "running variance", SB_ARRAY_F32, SB_ARRAY_UPDATED, (size_t)p->channels), 0, 2);
}

static int call_running(sb_trial *t, sb_device *d)
{
    const running_parameters *p = t->parameters;
    return d->norm_running(d, p->channels, p->rows, p->momentum, sb_memory(t, BATCH_MEAN), sb_memory(t, BATCH_VARIANCE),
                           sb_memory(t, RUNNING_MEAN), sb_memory(t, RUNNING_VARIANCE));
}

static void reference_running(sb_trial *t)
{
    const running_parameters *p = t->parameters;
    double unbiased = p->rows > 1 ? (double)p->rows / (p->rows - 1) : 1, m = p->momentum;
    for (int i = 0; i < 2; i++) {
        const double *batch = sb_value(t, BATCH_MEAN + i), *old = sb_value(t, RUNNING_MEAN + i);
        sb_array *a = &t->arrays[RUNNING_MEAN + i];
        for (int c = 0; c < p->channels; c++) {
            double now = batch[c] * (i ? unbiased : 1);
            a->wanted[c] = (1 - m) * old[c] + m * now;
            a->bound[c] = sb_growth(1) * SB_UNIT_F32 * ((1 - m) * fabs(old[c]) + m * fabs(now));
        }
    }
}

static const sb_operation running = { .name = "norm_running", .prepare = prepare_running, .call = call_running,
                                      .reference = reference_running };

/* ---- the list --------------------------------------------------------------------------------------------------------------------- */

static const char *type_name(sb_type type) { return type == SB_F32 ? "f32" : "bf16"; }

static void add_forward(bool timed, parameters p)
{
    const sb_norm_shape *s = &p.shape;
    char text[96];
    snprintf(text, sizeof text, "%s [%d, %d]%s%s%s%s", type_name(s->type), s->rows, s->channels, p.affine ? "" : " plain",
             s->residual ? " residual" : "", s->relu ? " relu" : "", p.offset > 5 ? " far from 0" : "");
    sb_case_add(&forward, timed, &p, sizeof p, "%s", text);
    sb_case_add(&applied, timed, &p, sizeof p, "%s", text);
}

static void add_backward(bool timed, parameters p)
{
    const sb_norm_shape *s = &p.shape;
    sb_case_add(&backward, timed, &p, sizeof p, "%s [%d, %d]%s%s%s%s%s%s%s", type_name(s->type), s->rows, s->channels,
                p.affine ? "" : " plain", s->residual ? " residual" : "", s->relu ? " relu" : "", p.more ? " two gradients" : "",
                p.in_place ? " in place" : "", p.accumulate ? " accumulated" : "", p.offset > 5 ? " far from 0" : "");
}

void sb_cases_norm(void)
{
    const int sizes[][2] = { { 2, 31 }, { 1, 33 }, { 31, 257 }, { 33, 1 }, { 255, 33 }, { 257, 255 }, { 1025, 16 }, { 5000, 3 } };
    for (sb_type type = SB_F32; type <= SB_BF16; type++) {
        for (int flags = 0; flags < 8; flags++) { /* every combination on one size */
            parameters p = { { 513, 33, type, flags & 1, flags & 2, 1e-5f }, .affine = flags & 4, .offset = 0.5 };
            add_forward(false, p);
            for (int more = 0; more < 8; more++) {
                p.more = more & 1;
                p.in_place = more & 2;
                p.accumulate = more & 4;
                if (!(p.in_place && !p.shape.residual) && !(p.accumulate && !p.affine))
                    add_backward(false, p);
            }
        }
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) { /* everything on every size, once near and once far from 0 */
            parameters p = { { sizes[i][0], sizes[i][1], type, true, true, 1e-5f }, .offset = 0.5, .affine = true, .more = true };
            add_forward(false, p);
            if (p.shape.rows > 1)
                add_backward(false, p);
            p.offset = 30;
            add_forward(false, p);
        }
        for (int places = 112 * 112, channels = 64; channels <= 2048; places /= 4, channels *= 2) { /* two images of 224 pixels */
            parameters p = { { 2 * places, channels, type, channels > 64, true, 1e-5f }, .affine = true, .offset = 0.5 };
            add_forward(true, p);
            add_backward(true, p);
        }
    }
    const running_parameters runs[] = { { 1, 2, 0.1f }, { 31, 1, 0.1f }, { 33, 255, 0.01f }, { 257, 257, 1 }, { 512, 100000, 0.1f } };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        sb_case_add(&running, false, &runs[i], sizeof runs[i], "%d of %d rows, momentum %g", runs[i].channels, runs[i].rows,
                    (double)runs[i].momentum);
}
