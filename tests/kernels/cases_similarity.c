/* cases_similarity.c: log-sum-exp over masked similarities and its gradient. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/cases.h"
#include "tests/kernels/reference.h"

typedef enum { SKIP_NONE, SKIP_SOME, SKIP_ROW } skipping; /* row: sample 0 is nobody's negative, and without positives nothing is left */

typedef struct {
    sb_similarity_shape shape;
    skipping skip;
    float scale;
} parameters;

enum { Z, SKIP, LSE, DZ };

static const parameters *of(const sb_trial *t) { return t->parameters; }

static size_t rows_of(const sb_similarity_shape *s) { return (size_t)s->samples * (size_t)s->views; }

static void declare(sb_trial *t, sb_array_role lse)
{
    const parameters *p = of(t);
    size_t rows = rows_of(&p->shape), n = (size_t)p->shape.samples;
    sb_array *z = sb_array_add(t, "z", SB_ARRAY_F32, SB_ARRAY_GIVEN, rows * (size_t)p->shape.width);
    sb_fill_normal(t, z, 0, 1);
    double *norm = sb_doubles(rows);
    sb_reference_rownorm_forward((int)rows, p->shape.width, z->value, z->value, norm);
    free(norm);
    sb_array_round(z);
    sb_array *skip = sb_array_add(t, "skip", SB_ARRAY_U8, SB_ARRAY_GIVEN, p->skip ? n * n : 0);
    for (size_t a = 0; a < n && p->skip; a++)
        for (size_t b = 0; b <= a; b++) {
            bool skipped = p->skip == SKIP_ROW ? b == 0 : sb_random_below(&t->random, 3) == 0;
            skip->value[a * n + b] = skip->value[b * n + a] = skipped ? 1 + sb_random_below(&t->random, 255) : 0;
        }
    sb_array_add(t, "lse", SB_ARRAY_F32, lse, rows);
}

static void prepare_lse(sb_trial *t) { declare(t, SB_ARRAY_WRITTEN); }

static void prepare_gradient(sb_trial *t)
{
    declare(t, SB_ARRAY_GIVEN);
    sb_reference_similarity_lse(&of(t)->shape, sb_value(t, Z), sb_value(t, SKIP), sb_value(t, LSE));
    sb_array_round(&t->arrays[LSE]);
    sb_array *dz = sb_array_add(t, "dz", SB_ARRAY_F32, SB_ARRAY_UPDATED, t->arrays[Z].count);
    sb_fill_normal(t, dz, 0, 0.01);
    dz->gradient_of = Z;
    t->flops = 4.0 * (double)rows_of(&of(t)->shape) * (double)t->arrays[Z].count;
}

static int call_lse(sb_trial *t, sb_device *d)
{
    return d->similarity_lse(d, &of(t)->shape, sb_memory(t, Z), sb_memory(t, SKIP), sb_memory(t, LSE));
}

static int call_gradient(sb_trial *t, sb_device *d)
{
    return d->similarity_gradient(d, &of(t)->shape, sb_memory(t, Z), sb_memory(t, SKIP), sb_memory(t, LSE), of(t)->scale,
                                  sb_memory(t, DZ));
}

/* A logit's error: that of <|z_i|, |z_j|> / temperature. */
static double *logit_bounds(const sb_trial *t)
{
    const sb_similarity_shape *s = &of(t)->shape;
    size_t rows = rows_of(s);
    double *z = sb_doubles_absolute(t->arrays[Z].count, sb_value(t, Z)), *out = sb_doubles(rows * rows);
    sb_reference_matmul(false, true, (int)rows, (int)rows, s->width, z, z, out);
    for (size_t i = 0; i < rows * rows; i++)
        out[i] *= sb_growth(s->width) * SB_UNIT_F32 / s->temperature;
    free(z);
    return out;
}

/* The mean of the logits' errors, weighted as the sum weighs them, and the sum's own. */
static void reference_lse(sb_trial *t)
{
    const sb_similarity_shape *s = &of(t)->shape;
    size_t rows = rows_of(s);
    sb_array *lse = &t->arrays[LSE];
    double *error = logit_bounds(t), *logits = sb_doubles(rows * rows);
    sb_reference_similarity(s, sb_value(t, Z), sb_value(t, SKIP), logits);
    sb_reference_similarity_lse(s, sb_value(t, Z), sb_value(t, SKIP), lse->wanted);
    for (size_t i = 0; i < rows; i++) {
        if (lse->wanted[i] == -INFINITY)
            continue;
        lse->bound[i] = sb_growth((double)rows) * SB_UNIT_F32;
        for (size_t j = 0; j < rows; j++)
            lse->bound[i] += exp(logits[i * rows + j] - lse->wanted[i]) * error[i * rows + j];
    }
    free(error);
    free(logits);
}

/* Each weight is wrong, relatively, by its logit's error and by what the exponent's subtraction loses. */
static void reference_gradient(sb_trial *t)
{
    const parameters *p = of(t);
    const sb_similarity_shape *s = &p->shape;
    size_t rows = rows_of(s), width = (size_t)s->width;
    sb_array *dz = &t->arrays[DZ];
    const double *z = sb_value(t, Z), *lse = sb_value(t, LSE);
    double *error = logit_bounds(t), *logits = sb_doubles(rows * rows);
    sb_reference_similarity(s, z, sb_value(t, SKIP), logits);
    sb_reference_similarity_gradient(s, z, sb_value(t, SKIP), lse, p->scale, dz->wanted);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < rows; j++) {
            double logit = logits[i * rows + j];
            if (logit == -INFINITY)
                continue;
            double weight = exp(logit - lse[i]) + exp(logit - lse[j]), lost = fabs(logit) + fmax(fabs(lse[i]), fabs(lse[j]));
            double relative = error[i * rows + j] + SB_UNIT_F32 * (lost + sb_growth((double)rows));
            for (size_t k = 0; k < width; k++)
                dz->bound[i * width + k] += fabs((double)p->scale) / s->temperature * weight * relative * fabs(z[j * width + k]);
        }
    for (size_t i = 0; i < dz->count; i++) { /* every term is added to what was there */
        dz->wanted[i] += dz->value[i];
        dz->bound[i] += sb_growth((double)rows) * SB_UNIT_F32 * fabs(dz->value[i]);
    }
    free(error);
    free(logits);
}

static double loss(const sb_trial *t)
{
    size_t rows = rows_of(&of(t)->shape);
    double *lse = sb_doubles(rows), sum = 0;
    sb_reference_similarity_lse(&of(t)->shape, sb_value(t, Z), sb_value(t, SKIP), lse);
    for (size_t i = 0; i < rows; i++)
        sum += lse[i] > -INFINITY ? of(t)->scale * lse[i] : 0;
    free(lse);
    return sum;
}

static const sb_operation lse = { .name = "similarity_lse", .prepare = prepare_lse, .call = call_lse, .reference = reference_lse };
static const sb_operation gradient = { .name = "similarity_gradient", .prepare = prepare_gradient, .call = call_gradient,
                                       .reference = reference_gradient, .loss = loss };

static void add(bool timed, parameters p)
{
    const sb_similarity_shape *s = &p.shape;
    const char *skips[] = { "", ", some skipped", ", a row skipped" };
    char text[96];
    snprintf(text, sizeof text, "%d samples, %d views, %d wide, T %g%s%s", s->samples, s->views, s->width, (double)s->temperature,
             s->no_positives ? ", no positives" : "", skips[p.skip]);
    sb_case_add(&lse, timed, &p, sizeof p, "%s", text);
    sb_case_add(&gradient, timed, &p, sizeof p, "%s", text);
}

void sb_cases_similarity(void)
{
    const struct {
        int samples, views, width;
        float temperature;
    } sizes[] = { { 1, 1, 31, 0.1f },   { 1, 2, 33, 0.1f },  { 2, 2, 1, 0.5f },   { 3, 3, 128, 0.02f }, { 31, 2, 33, 0.1f },
                  { 33, 1, 257, 0.1f }, { 17, 4, 31, 0.5f }, { 255, 1, 16, 1 },   { 257, 1, 31, 0.1f }, { 128, 2, 64, 0.07f } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int flags = 0; flags < 6; flags++)
            add(false, (parameters){ { sizes[i].samples, sizes[i].views, sizes[i].width, sizes[i].temperature, flags & 1 },
                                     .skip = (skipping)(flags / 2), .scale = i % 2 ? 1 : 0.01f });
    add(true, (parameters){ { 512, 2, 128, 0.1f, true }, .scale = 0.001f });
    add(true, (parameters){ { 512, 2, 2048, 0.1f, true }, .scale = 0.001f });
}
