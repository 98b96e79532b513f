/* norm.c: see norm.h. */
#include "tests/kernels/norm.h"

#include <math.h>
#include <stdlib.h>

/* Where an element belongs: its channel, and its group's mean in statistics [sets, 2, groups]. */
static size_t channel_of(const sb_norm *s, size_t i) { return i % (size_t)s->channels; }
static size_t mean_of(const sb_norm *s, size_t i)
{
    const size_t set = i / ((size_t)s->rows * (size_t)s->channels), groups = (size_t)s->groups,
                 size = (size_t)s->channels / groups;
    return set * 2 * groups + channel_of(s, i) / size;
}
static size_t variance_of(const sb_norm *s, size_t i) { return mean_of(s, i) + (size_t)s->groups; }

/* Values that a mean is of. */
static double count_of(const sb_norm *s) { return (double)s->rows * s->channels / s->groups; }
static size_t statistics_of(const sb_norm *s) { return (size_t)s->sets * 2 * (size_t)s->groups; }

static void find_statistics(const sb_reference *r, const sb_norm *s, double *statistics)
{
    const size_t all = sb_shape_elements(&r->xs[0]);
    for (size_t k = 0; k < statistics_of(s); k++)
        statistics[k] = 0;
    for (size_t i = 0; i < all; i++)
        statistics[mean_of(s, i)] += r->x[0][i] / count_of(s);
    for (size_t i = 0; i < all; i++)
        statistics[variance_of(s, i)] += pow(r->x[0][i] - statistics[mean_of(s, i)], 2) / count_of(s);
}

/* What the ReLU gets. */
static double before_relu(const sb_reference *r, const sb_norm *s, const double *statistics, size_t i)
{
    const size_t k = channel_of(s, i);
    double normal = (r->x[0][i] - statistics[mean_of(s, i)]) /
                    sqrt(statistics[variance_of(s, i)] + (double)s->epsilon);
    return normal * (r->w[0] ? r->w[0][k] : 1) + (r->w[1] ? r->w[1][k] : 0) + (r->x[1] ? r->x[1][i] : 0);
}

/* The mean's terms are the values, the variance's the squared distances. Both may be taken from a shift, such
 * as the first row, which may be four deviations from the mean. */
static void bound_statistics(sb_reference *r, const sb_norm *s)
{
    const double unit = sb_growth(count_of(s)) * SB_UNIT_F32;
    for (size_t k = 0; k < statistics_of(s); k++)
        r->aux_bound[k] = 0;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->aux_bound[mean_of(s, i)] += unit * fabs(r->x[0][i]) / count_of(s);
    for (size_t k = 0; k < statistics_of(s); k++) {
        const size_t groups = (size_t)s->groups;
        if (k / groups % 2 == 1)
            r->aux_bound[k] = unit * 16 * r->aux[k];
        else
            r->aux_bound[k] += unit * 4 * sqrt(r->aux[k + groups]);
    }
}

/* A few roundings of each term, and what errors of statistics that are x's own do to it. */
static double bound_y(const sb_reference *r, const sb_norm *s, const double *statistics, bool given, size_t i)
{
    const size_t k = channel_of(s, i);
    double mean = statistics[mean_of(s, i)], variance = statistics[variance_of(s, i)] + (double)s->epsilon;
    double scale = (r->w[0] ? fabs(r->w[0][k]) : 1) / sqrt(variance), x = r->x[0][i];
    double added = (r->w[1] ? fabs(r->w[1][k]) : 0) + (r->x[1] ? fabs(r->x[1][i]) : 0);
    double rounded = sb_growth(1) * SB_UNIT_F32 * (scale * (fabs(x) + fabs(mean)) + added);
    if (given)
        return rounded;
    return rounded + scale * (r->aux_bound[mean_of(s, i)] +
                              fabs(x - mean) * r->aux_bound[variance_of(s, i)] / 2 / variance);
}

void sb_norm_reference(sb_reference *r, const sb_norm *s, const double *given)
{
    if (!given)
        find_statistics(r, s, r->aux);
    if (!given && r->y_bound)
        bound_statistics(r, s);
    const double *statistics = given ? given : r->aux;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        double v = before_relu(r, s, statistics, i);
        r->y[i] = s->relu && v < 0 ? 0 : v; /* NaN stays */
        if (r->y_bound)
            r->y_bound[i] = bound_y(r, s, statistics, given != NULL, i);
    }
}

/* Sums over a group of gamma g and gamma g xhat, and of their terms. */
typedef struct {
    double sum, product, sum_terms, product_terms;
} sums;

/* An element's part in them, without gamma. */
static sums part_of(const sb_reference *r, const sb_norm *s, size_t i)
{
    double mean = r->aux[mean_of(s, i)], inverse = 1 / sqrt(r->aux[variance_of(s, i)] + (double)s->epsilon),
           g = sb_norm_masked(r, s, i), x = r->x[0][i];
    return (sums){ g, g * (x - mean) * inverse, fabs(g), fabs(g) * (fabs(x) + fabs(mean)) * inverse };
}

static void add_part(sums *to, const sums *part, double factor)
{
    to->sum += factor * part->sum;
    to->product += factor * part->product;
    to->sum_terms += fabs(factor) * part->sum_terms;
    to->product_terms += fabs(factor) * part->product_terms;
}

static double gamma_of(const sb_reference *r, const sb_norm *s, size_t i)
{
    return r->w[0] ? r->w[0][channel_of(s, i)] : 1;
}

static void back_to_x(sb_reference *r, const sb_norm *s)
{
    const size_t all = sb_shape_elements(&r->xs[0]);
    const double count = count_of(s), unit = sb_growth(count) * SB_UNIT_F32;
    sums *of = calloc(statistics_of(s), sizeof *of); /* at the places of means */
    if (!of)
        abort();
    for (size_t i = 0; i < all; i++) {
        const sums part = part_of(r, s, i);
        add_part(&of[mean_of(s, i)], &part, gamma_of(r, s, i));
    }
    for (size_t i = 0; i < all && r->dx[0]; i++) {
        const sums *group = &of[mean_of(s, i)];
        double mean = r->aux[mean_of(s, i)],
               inverse = 1 / sqrt(r->aux[variance_of(s, i)] + (double)s->epsilon),
               g = gamma_of(r, s, i) * sb_norm_masked(r, s, i), normal = (r->x[0][i] - mean) * inverse,
               normal_terms = (fabs(r->x[0][i]) + fabs(mean)) * inverse;
        r->dx[0][i] = inverse * (g - group->sum / count - normal * group->product / count);
        r->dx_bound[0][i] = unit * inverse *
                            (fabs(g) + (group->sum_terms + normal_terms * group->product_terms) / count);
    }
    free(of);
}

static void back_to_weights(sb_reference *r, const sb_norm *s)
{
    const size_t all = sb_shape_elements(&r->xs[0]), c = (size_t)s->channels;
    const double unit = sb_growth((double)s->sets * s->rows) * SB_UNIT_F32;
    for (size_t k = 0; k < c; k++) {
        sums of = { 0 };
        for (size_t i = k; i < all; i += c) {
            const sums part = part_of(r, s, i);
            add_part(&of, &part, 1);
        }
        if (r->dw[0]) {
            r->dw[0][k] = of.product;
            r->dw_bound[0][k] = unit * of.product_terms;
        }
        if (r->dw[1]) {
            r->dw[1][k] = of.sum;
            r->dw_bound[1][k] = unit * of.sum_terms;
        }
    }
}

void sb_norm_reference_back(sb_reference *r, const sb_norm *s)
{
    back_to_x(r, s);
    back_to_weights(r, s);
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]) && r->dx[1]; i++)
        r->dx[1][i] = sb_norm_masked(r, s, i);
}

void sb_norm_clear_kink(sb_trial *t, sb_reference *r, const sb_norm *s, const double *given)
{
    double *own = sb_doubles(statistics_of(s));
    size_t found = 1;
    for (int tries = 0; found > 0 && tries < 100; tries++) {
        find_statistics(r, s, own);
        found = 0;
        for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
            if (fabs(before_relu(r, s, given ? given : own, i)) < 1e-4 * (1 + fabs(r->x[0][i]))) {
                r->x[0][i] += 0.1;
                found++;
            }
        sb_array_round(sb_array_x(t, 0));
    }
    free(own);
}

void sb_norm_fill(sb_trial *t, sb_reference *r, double offset, double step)
{
    const size_t c = (size_t)r->xs[0].c;
    sb_fill_normal(t, sb_array_x(t, 0), offset, 1);
    for (size_t i = 0; step != 0 && i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] += step * (double)(i % c);
    sb_array_round(sb_array_x(t, 0));
    sb_fill_normal(t, sb_array_x(t, 1), 0, 1);
    sb_fill_normal(t, sb_array_w(t, 0), 0.5, 1);
    sb_fill_normal(t, sb_array_w(t, 1), 0, 1);
}
