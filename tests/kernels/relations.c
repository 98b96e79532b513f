/* relations.c: relations of the places of an image against a teacher's. */
#include "kernels/op/relations.h"

#include <math.h>
#include <stdlib.h>

#include "tests/kernels/op_cases.h"

static double temperature(const sb_reference *r) { return ((const sb_relations_how *)r->how)->temperature; }

/* How the place `row` relates to those of its image, whose first is row `begin`: logits and shares [places],
 * and what f32 may be off in a logit. */
typedef struct {
    double *logit, *share;
    double lse, off;
} relation;

static void find(const sb_reference *r, int x, size_t begin, size_t row, size_t places, relation *to)
{
    const size_t columns = (size_t)r->xs[x].c;
    const double *mine = r->x[x] + row * columns;
    double most = -INFINITY, magnitude = 0, sum = 0;
    for (size_t j = 0; j < places; j++) {
        const double *its = r->x[x] + (begin + j) * columns;
        double dot = 0, terms = 0;
        for (size_t c = 0; c < columns; c++) {
            dot += mine[c] * its[c];
            terms += fabs(mine[c] * its[c]);
        }
        to->logit[j] = dot / temperature(r);
        most = fmax(most, to->logit[j]);
        magnitude = fmax(magnitude, terms / temperature(r));
    }
    for (size_t j = 0; j < places; j++)
        sum += exp(to->logit[j] - most);
    to->lse = most + log(sum < 1 ? 1 : sum);
    for (size_t j = 0; j < places; j++)
        to->share[j] = exp(to->logit[j] - to->lse);
    to->off = sb_growth((double)columns) * SB_UNIT_F32 * magnitude;
}

/* How far a share of the way back may be off, in its own size: its logit, the lse that is kept in f32, and a
 * few roundings of an exponential. */
static double share_off(const relation *of) { return 2 * of->off + (4 + 2 * fabs(of->lse)) * SB_UNIT_F32; }

typedef void (*visit)(sb_reference *r, size_t begin, size_t row, size_t places, const relation *s,
                      const relation *t);

static void each(sb_reference *r, visit do_it)
{
    const size_t places = (size_t)(r->xs[0].h * r->xs[0].w), rows = sb_shape_rows(&r->xs[0]);
    relation s = { sb_doubles(places), sb_doubles(places), 0, 0 },
             t = { sb_doubles(places), sb_doubles(places), 0, 0 };
    for (size_t row = 0; row < rows; row++) {
        const size_t begin = row / places * places;
        find(r, 0, begin, row, places, &s);
        find(r, 1, begin, row, places, &t);
        do_it(r, begin, row, places, &s, &t);
    }
    free(s.logit);
    free(s.share);
    free(t.logit);
    free(t.share);
}

/* A logit may be off, and a share by twice that; the rest is f64's. */
static void forward_place(sb_reference *r, size_t begin, size_t row, size_t places, const relation *s,
                          const relation *t)
{
    (void)begin;
    double magnitude = 0;
    r->y[row] = 0;
    for (size_t j = 0; j < places; j++) {
        const double differs = (t->logit[j] - t->lse) - (s->logit[j] - s->lse);
        r->y[row] += t->share[j] * differs;
        magnitude += t->share[j] * fabs(differs);
    }
    if (r->y_bound)
        r->y_bound[row] = 2 * t->off * magnitude + 2 * (s->off + t->off);
    if (!r->aux)
        return;
    r->aux[2 * row] = s->lse;
    r->aux[2 * row + 1] = t->lse;
    if (r->aux_bound) {
        r->aux_bound[2 * row] = s->off;
        r->aux_bound[2 * row + 1] = t->off;
    }
}

static void forward(sb_reference *r) { each(r, forward_place); }

/* An exponential may stand for one that is nothing beside the largest. */
#define NOTHING 1e-37

/* What G's row `row` adds to its own row of dS, and to those of all others. */
static void backward_place(sb_reference *r, size_t begin, size_t row, size_t places, const relation *s,
                           const relation *t)
{
    const size_t columns = (size_t)r->xs[0].c;
    const double off_s = share_off(s), off_t = share_off(t), sums = sb_growth(2.0 * (double)places);
    for (size_t j = 0; j < places; j++) {
        const size_t other = begin + j;
        const double scale = r->dy[row] / temperature(r), g = scale * (s->share[j] - t->share[j]),
                     may = fabs(scale) * (off_s * s->share[j] + off_t * t->share[j] + NOTHING) +
                           (sums + 4) * SB_UNIT_F32 * fabs(g);
        for (size_t c = 0; c < columns; c++) {
            const double mine = r->x[0][row * columns + c], its = r->x[0][other * columns + c];
            r->dx[0][row * columns + c] += g * its;
            r->dx_bound[0][row * columns + c] += may * fabs(its);
            r->dx[0][other * columns + c] += g * mine;
            r->dx_bound[0][other * columns + c] += may * fabs(mine);
        }
    }
}

/* The sums go on from what was held. */
static void backward(sb_reference *r)
{
    const double places = r->xs[0].h * r->xs[0].w;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++) {
        r->dx[0][i] = 0;
        r->dx_bound[0][i] = sb_growth(2 * places) * SB_UNIT_F32 * sb_held(r->dx_held[0], i);
    }
    each(r, backward_place);
}

/* Rows of about unit length, as they come. */
static void fill(sb_trial *t, sb_reference *r)
{
    for (int i = 0; i < 2; i++)
        sb_fill_normal(t, sb_array_x(t, i), 0, 1 / sqrt(r->xs[i].c));
}

/* Logits of some hundreds: one place has it all. */
static void fill_large(sb_trial *t, sb_reference *r)
{
    for (int i = 0; i < 2; i++)
        sb_fill_normal(t, sb_array_x(t, i), 0, 4 / sqrt(r->xs[i].c));
}

static void fill_zero(sb_trial *t, sb_reference *r)
{
    fill(t, r);
    for (size_t k = 0; k < sb_array_x(t, 0)->count; k++)
        r->x[0][k] = 0;
}

static void fill_nan(sb_trial *t, sb_reference *r)
{
    fill(t, r);
    r->x[0][0] = NAN;
}

#define TEST(filled)                                                                                        \
    {                                                                                                       \
        .op = SB_OP_RELATIONS, .how_bytes = sizeof(sb_relations_how), .fill = (filled), .forward = forward, \
        .backward = backward                                                                                \
    }
static const sb_op_test ordinary = TEST(fill), large = TEST(fill_large), zero = TEST(fill_zero),
                        nans = TEST(fill_nan);

static void add(const sb_op_test *test, sb_shape s, int teacher, float temperature, sb_op_options options)
{
    const sb_shape xs[] = { s, { s.n, s.h, s.w, teacher, SB_F32 } };
    options.no_dx = 2;
    options.nan = test == &nans;
    sb_op_case_add(test, &(sb_relations_how){ temperature }, xs, options, "[%d, %d, %d, %d] to %d, T %g%s%s",
                   s.n, s.h, s.w, s.c, teacher, (double)temperature,
                   test == &large  ? ", large"
                   : test == &zero ? ", zeros"
                   : test == &nans ? ", NaN"
                                   : "",
                   options.forward_only ? ", forward only" : "");
}

static int shape_of(sb_shape t, float temperature)
{
    sb_shape y;
    return sb_op_relations.shape(&(sb_relations_how){ temperature },
                                 (const sb_shape[]){ { 2, 3, 3, 4, SB_F32 }, t }, &y);
}

static int refuse_places(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 4, 4, 4, SB_F32 }, 1); }
static int refuse_images(sb_device *d) { return (void)d, shape_of((sb_shape){ 1, 3, 3, 4, SB_F32 }, 1); }
static int refuse_halves(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 3, 3, 4, SB_F16 }, 1); }
static int refuse_cold(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 3, 3, 4, SB_F32 }, 0); }

void sb_cases_relations(void)
{
    /* Images, sides, channels, the teacher's. */
    const int sizes[][5] = { { 1, 1, 1, 1, 1 },   { 2, 2, 2, 33, 31 },  { 33, 1, 3, 5, 2 },
                             { 2, 7, 7, 31, 33 }, { 1, 3, 11, 1, 257 }, { 1, 2, 5, 255, 1 },
                             { 1, 15, 17, 3, 5 }, { 1, 1, 257, 5, 3 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int *s = sizes[i];
        const sb_shape x = { s[0], s[1], s[2], s[3], SB_F32 };
        add(&ordinary, x, s[4], 0.07f, (sb_op_options){ 0 });
        if (i < 6)
            add(&ordinary, x, s[4], 0.5f, (sb_op_options){ .forward_only = i % 2 });
    }
    add(&large, (sb_shape){ 2, 3, 5, 33, SB_F32 }, 8, 0.07f, (sb_op_options){ .no_differences = true });
    add(&zero, (sb_shape){ 2, 3, 5, 33, SB_F32 }, 8, 0.07f, (sb_op_options){ 0 });
    add(&nans, (sb_shape){ 2, 3, 5, 33, SB_F32 }, 8, 0.07f, (sb_op_options){ 0 });
    add(&ordinary, (sb_shape){ 16, 7, 7, 384, SB_F32 }, 384, 0.07f, (sb_op_options){ .timed = true });
    add(&ordinary, (sb_shape){ 4, 32, 32, 384, SB_F32 }, 384, 0.07f, (sb_op_options){ .timed = true });
    sb_case_add_refusal("relations: to a map of other sides", refuse_places);
    sb_case_add_refusal("relations: to other images", refuse_images);
    sb_case_add_refusal("relations: to f16", refuse_halves);
    sb_case_add_refusal("relations: at temperature 0", refuse_cold);
}
