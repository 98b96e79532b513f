/* attention.c: attention within each image. */
#include "kernels/op/attention.h"

#include <math.h>
#include <stdlib.h>

#include "tests/kernels/op_cases.h"

static sb_attention of(const sb_reference *r)
{
    const sb_call call = { .how = r->how, .xs = { r->xs[0] } };
    return sb_attention_of(&call);
}

static size_t row_of(const sb_attention *s, int image, int i)
{
    return (size_t)image * (size_t)s->places + (size_t)i;
}
static const double *x_of(const sb_reference *r, const sb_attention *s, int which, int image, int head, int i)
{
    return r->x[0] + sb_attention_x(s, which, row_of(s, image, i), head);
}

/* The numbers of one query: its logits and shares, and what f32 may be off in a logit. */
typedef struct {
    double *logit, *share; /* [places] */
    double lse, off;
} query;

static double find_query(const sb_reference *r, const sb_attention *s, int image, int head, int i, query *q)
{
    const double scale = 1 / sqrt((double)s->size), *mine = x_of(r, s, 0, image, head, i);
    double most = -INFINITY, sum = 0, magnitude = 0;
    for (int j = 0; j < s->places; j++) {
        const double *its = x_of(r, s, 1, image, head, j);
        double dot = 0, terms = 0;
        for (int c = 0; c < s->size; c++) {
            dot += mine[c] * its[c];
            terms += fabs(mine[c] * its[c]);
        }
        q->logit[j] = scale * dot;
        magnitude = fmax(magnitude, scale * terms);
        most = fmax(most, q->logit[j]);
    }
    for (int j = 0; j < s->places; j++)
        sum += exp(q->logit[j] - most);
    q->lse = most + log(sum);
    for (int j = 0; j < s->places; j++)
        q->share[j] = exp(q->logit[j] - q->lse);
    q->off = sb_growth(s->size) * SB_UNIT_F32 * magnitude;
    return q->off;
}

/* How far a share may be off, in its own size: its logit and lse, and a few roundings of an exponential and
 * of the sum. */
static double share_off(const sb_attention *s, const query *q)
{
    return 2 * q->off + (sb_growth(s->places) + fabs(q->lse)) * SB_UNIT_F32;
}

/* An exponential may stand for one that is nothing beside the largest. */
#define NOTHING 1e-37

static void forward_query(sb_reference *r, const sb_attention *s, int image, int head, int i, query *q)
{
    const size_t row = row_of(s, image, i), at = sb_attention_y(s, row, head);
    find_query(r, s, image, head, i, q);
    if (r->aux)
        r->aux[row * (size_t)s->heads + (size_t)head] = q->lse;
    if (r->aux && r->aux_bound)
        r->aux_bound[row * (size_t)s->heads + (size_t)head] = q->off + sb_growth(s->places) * SB_UNIT_F32 *
                                                                           (1 + fabs(q->lse));
    for (size_t c = 0; c < (size_t)s->size; c++) {
        double sum = 0, terms = 0, nothing = 0;
        for (int j = 0; j < s->places; j++) {
            const double v = x_of(r, s, 2, image, head, j)[c];
            sum += q->share[j] * v;
            terms += fabs(q->share[j] * v);
            nothing += NOTHING * fabs(v);
        }
        r->y[at + c] = sum;
        if (r->y_bound)
            r->y_bound[at + c] = share_off(s, q) * terms + nothing;
    }
}

/* Each query of each head of each image. */
static void each(sb_reference *r,
                 void (*do_it)(sb_reference *r, const sb_attention *s, int image, int head, int i, query *q))
{
    const sb_attention s = of(r);
    query q = { .logit = sb_doubles((size_t)s.places), .share = sb_doubles((size_t)s.places) };
    for (int image = 0; image < s.images; image++)
        for (int head = 0; head < s.heads; head++)
            for (int i = 0; i < s.places; i++)
                do_it(r, &s, image, head, i, &q);
    free(q.logit);
    free(q.share);
}

static void forward(sb_reference *r) { each(r, forward_query); }

/* <dy, y> by its definition, sum_j p_j <dy, v_j>: y itself comes rounded to its type. */
static void backward_query(sb_reference *r, const sb_attention *s, int image, int head, int i, query *q)
{
    const size_t row = row_of(s, image, i), at = sb_attention_y(s, row, head);
    const double scale = 1 / sqrt((double)s->size), *dy = r->dy + at;
    const double *mine = x_of(r, s, 0, image, head, i);
    double along = 0, along_off = 0;
    find_query(r, s, image, head, i, q);
    const double off = share_off(s, q), unit = sb_growth(s->size) * SB_UNIT_F32,
                 sums = sb_growth(s->places) * SB_UNIT_F32;
    for (int j = 0; j < s->places; j++) {
        const double *v = x_of(r, s, 2, image, head, j);
        for (int c = 0; c < s->size; c++)
            along += q->share[j] * dy[c] * v[c];
    }
    for (int c = 0; c < s->size; c++)
        along_off += fabs(dy[c] * r->y[at + (size_t)c]) *
                     (unit + sb_array_unit(sb_array_type_of(r->ys.type)));
    for (int j = 0; j < s->places; j++) {
        const double *k = x_of(r, s, 1, image, head, j), *v = x_of(r, s, 2, image, head, j);
        const size_t to_q = sb_attention_x(s, 0, row, head),
                     to_k = sb_attention_x(s, 1, row_of(s, image, j), head),
                     to_v = sb_attention_x(s, 2, row_of(s, image, j), head);
        double dot = 0, terms = 0;
        for (int c = 0; c < s->size; c++) {
            dot += dy[c] * v[c];
            terms += fabs(dy[c] * v[c]);
        }
        const double share = q->share[j], e = share * (dot - along), share_may = off * share + NOTHING,
                     e_may = (share + NOTHING) * (unit * terms + along_off) + share_may * fabs(dot - along) +
                             sums * fabs(e);
        for (size_t c = 0; c < (size_t)s->size; c++) {
            r->dx[0][to_v + c] += share * dy[c];
            r->dx[0][to_k + c] += scale * e * mine[c];
            r->dx[0][to_q + c] += scale * e * k[c];
            r->dx_bound[0][to_v + c] += (share_may + sums * share) * fabs(dy[c]);
            r->dx_bound[0][to_k + c] += scale * e_may * fabs(mine[c]);
            r->dx_bound[0][to_q + c] += scale * e_may * fabs(k[c]);
        }
    }
}

static void backward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->dx[0][i] = r->dx_bound[0][i] = 0;
    each(r, backward_query);
}

static void fill_large(sb_trial *t, sb_reference *r)
{
    (void)r;
    sb_fill_normal(t, sb_array_x(t, 0), 0, 10);
}

/* Of one query, one key, and one value. */
static void fill_nan(sb_trial *t, sb_reference *r)
{
    const sb_attention s = of(r);
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    r->x[0][sb_attention_x(&s, 0, 1, 0)] = NAN;
    r->x[0][sb_attention_x(&s, 1, (size_t)s.places + 2, s.heads - 1)] = NAN;
    r->x[0][sb_attention_x(&s, 2, 2 * (size_t)s.places, 0)] = NAN;
}

#define TEST(filled)                                                                                      \
    {                                                                                                     \
        .op = SB_OP_ATTENTION, .how_bytes = sizeof(sb_attention_how), .fill = filled, .forward = forward, \
        .backward = backward                                                                              \
    }
static const sb_op_test ordinary = TEST(NULL), large = TEST(fill_large), nans = TEST(fill_nan);

static void add(const sb_op_test *test, sb_shape x, int heads, sb_op_options options, const char *what)
{
    sb_op_case_add(test, &(sb_attention_how){ heads }, &x, options, "%s [%d, %d, %d, %d], %d heads%s",
                   sb_type_name(x.type), x.n, x.h, x.w, x.c, heads, what);
}

static int shape_of(int channels, int heads, sb_type type)
{
    sb_shape y;
    return sb_op_attention.shape(&(sb_attention_how){ heads }, &(sb_shape){ 2, 1, 4, channels, type }, &y);
}

static int refuse_thirds(sb_device *d) { return (void)d, shape_of(64, 1, SB_F32); }
static int refuse_heads(sb_device *d) { return (void)d, shape_of(3 * 64, 3, SB_F32); }
static int refuse_no_heads(sb_device *d) { return (void)d, shape_of(3 * 64, 0, SB_F32); }
static int refuse_wide(sb_device *d) { return (void)d, shape_of(3 * 130, 2, SB_F32); }
static int refuse_bytes(sb_device *d) { return (void)d, shape_of(3 * 64, 1, SB_U8); }

void sb_cases_attention(void)
{
    /* Images, sides, heads, channels of one. */
    const int sizes[][5] = { { 1, 1, 1, 1, 1 },   { 2, 1, 1, 3, 64 },   { 1, 1, 31, 2, 33 },
                             { 1, 3, 11, 1, 7 },  { 2, 1, 50, 3, 64 },  { 1, 5, 13, 2, 32 },
                             { 1, 1, 255, 1, 5 }, { 1, 1, 257, 1, 64 }, { 3, 4, 4, 6, 16 },
                             { 1, 17, 17, 1, 3 } };
    const int heads = 3, width = 3 * 3 * 64;
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            if (sb_case_has(type, i))
                add(&ordinary, (sb_shape){ s[0], s[1], s[2], 3 * s[3] * s[4], type }, s[3],
                    (sb_op_options){ 0 }, "");
        }
        add(&large, (sb_shape){ 1, 1, 33, width, type }, heads, (sb_op_options){ 0 }, ", large");
        add(&ordinary, (sb_shape){ 2, 1, 9, width, type }, heads, (sb_op_options){ .forward_only = true },
            ", forward only");
        add(&ordinary, (sb_shape){ 16, 1, 50, width, type }, heads, (sb_op_options){ .timed = true }, "");
        add(&ordinary, (sb_shape){ 2, 1, 1024, width, type }, heads, (sb_op_options){ .timed = true }, "");
    }
    add(&nans, (sb_shape){ 3, 1, 7, 3 * 2 * 5, SB_F32 }, 2, (sb_op_options){ .nan = true }, ", NaN");
    sb_case_add_refusal("attention: channels that are no three times", refuse_thirds);
    sb_case_add_refusal("attention: heads that do not share the channels", refuse_heads);
    sb_case_add_refusal("attention: no heads", refuse_no_heads);
    sb_case_add_refusal("attention: heads of 65 channels", refuse_wide);
    sb_case_add_refusal("attention: of u8", refuse_bytes);
}
