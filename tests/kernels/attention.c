/* attention.c: attention within each image. */
#include "kernels/op/attention.h"

#include <math.h>
#include <stdlib.h>

#include "tests/kernels/op_cases.h"

static sb_attention of(const sb_reference *r)
{
    const sb_call call = { .how = r->how, .xs = { r->xs[0], r->xs[1] } };
    return sb_attention_of(&call);
}

#define Q SB_ATTENTION_Q
#define K SB_ATTENTION_K
#define V SB_ATTENTION_V

/* Where place i of an image lies in the input that has the part. */
static size_t at_of(const sb_attention *s, sb_attention_part part, int image, int head, int i)
{
    return sb_attention_x(s, part, sb_attention_row(s, part, image, i), head);
}
static const double *x_of(const sb_reference *r, const sb_attention *s, sb_attention_part part, int image,
                          int head, int i)
{
    return r->x[sb_attention_input(s, part)] + at_of(s, part, image, head, i);
}

/* The numbers of one query: its logits and shares, and what f32 may be off in a logit. */
typedef struct {
    double *logit, *share; /* [keys] */
    double lse, off;
} query;

static double find_query(const sb_reference *r, const sb_attention *s, int image, int head, int i, query *q)
{
    const double scale = 1 / sqrt((double)s->size), *mine = x_of(r, s, Q, image, head, i);
    double most = -INFINITY, magnitude = 0;
    for (int j = 0; j < s->keys; j++) {
        const double *its = x_of(r, s, K, image, head, j);
        double dot = 0, terms = 0;
        for (int c = 0; c < s->size; c++) {
            dot += mine[c] * its[c];
            terms += fabs(mine[c] * its[c]);
        }
        q->logit[j] = scale * dot;
        magnitude = fmax(magnitude, scale * terms);
        most = fmax(most, q->logit[j]);
    }
    double sum = exp(q->logit[0] - most);
    for (int j = 1; j < s->keys; j++)
        sum += exp(q->logit[j] - most);
    q->lse = most + log(sum);
    for (int j = 0; j < s->keys; j++)
        q->share[j] = exp(q->logit[j] - q->lse);
    q->off = sb_growth(s->size) * SB_UNIT_F32 * magnitude;
    return q->off;
}

/* How far a share may be off, in its own size: its logit and lse, and a few roundings of an exponential and
 * of the sum. */
static double share_off(const sb_attention *s, const query *q)
{
    return 2 * q->off + (sb_growth(s->keys) + fabs(q->lse)) * SB_UNIT_F32;
}

/* An exponential may stand for one that is nothing beside the largest. */
#define NOTHING 1e-37

static void forward_query(sb_reference *r, const sb_attention *s, int image, int head, int i, query *q)
{
    const size_t row = sb_attention_row(s, Q, image, i), at = sb_attention_y(s, row, head);
    find_query(r, s, image, head, i, q);
    if (r->aux)
        r->aux[row * (size_t)s->heads + (size_t)head] = q->lse;
    if (r->aux && r->aux_bound)
        r->aux_bound[row * (size_t)s->heads + (size_t)head] = q->off + sb_growth(s->keys) * SB_UNIT_F32 *
                                                                           (1 + fabs(q->lse));
    for (size_t c = 0; c < (size_t)s->size; c++) {
        double sum = 0, terms = 0, nothing = 0;
        for (int j = 0; j < s->keys; j++) {
            const double v = x_of(r, s, V, image, head, j)[c];
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
    query q = { .logit = sb_doubles((size_t)s.keys), .share = sb_doubles((size_t)s.keys) };
    for (int image = 0; image < s.images; image++)
        for (int head = 0; head < s.heads; head++)
            for (int i = 0; i < s.queries; i++)
                do_it(r, &s, image, head, i, &q);
    free(q.logit);
    free(q.share);
}

static void forward(sb_reference *r) { each(r, forward_query); }

/* Adds a term to a gradient of a part. */
static void give(sb_reference *r, const sb_attention *s, sb_attention_part part, size_t at, double value,
                 double may)
{
    const int input = sb_attention_input(s, part);
    if (!r->dx[input])
        return;
    r->dx[input][at] += value;
    r->dx_bound[input][at] += may;
}

/* <dy, y> by its definition, sum_j p_j <dy, v_j>: y itself comes rounded to its type. */
static void backward_query(sb_reference *r, const sb_attention *s, int image, int head, int i, query *q)
{
    const size_t row = sb_attention_row(s, Q, image, i), at = sb_attention_y(s, row, head);
    const double scale = 1 / sqrt((double)s->size), *dy = r->dy + at;
    const double *mine = x_of(r, s, Q, image, head, i);
    double along = 0, along_off = 0;
    find_query(r, s, image, head, i, q);
    const double off = share_off(s, q), unit = sb_growth(s->size) * SB_UNIT_F32,
                 sums = sb_growth(s->keys) * SB_UNIT_F32;
    for (int j = 0; j < s->keys; j++) {
        const double *v = x_of(r, s, V, image, head, j);
        for (int c = 0; c < s->size; c++)
            along += q->share[j] * dy[c] * v[c];
    }
    for (int c = 0; c < s->size; c++)
        along_off += fabs(dy[c] * r->y[at + (size_t)c]) *
                     (unit + sb_array_unit(sb_array_type_of(r->ys.type)));
    for (int j = 0; j < s->keys; j++) {
        const double *k = x_of(r, s, K, image, head, j), *v = x_of(r, s, V, image, head, j);
        double dot = 0, terms = 0;
        for (int c = 0; c < s->size; c++) {
            dot += dy[c] * v[c];
            terms += fabs(dy[c] * v[c]);
        }
        const double share = q->share[j], e = share * (dot - along), share_may = off * share + NOTHING,
                     e_may = (share + NOTHING) * (unit * terms + along_off) + share_may * fabs(dot - along) +
                             sums * fabs(e);
        for (int c = 0; c < s->size; c++) {
            give(r, s, V, at_of(s, V, image, head, j) + (size_t)c, share * dy[c],
                 (share_may + sums * share) * fabs(dy[c]));
            give(r, s, K, at_of(s, K, image, head, j) + (size_t)c, scale * e * mine[c],
                 scale * e_may * fabs(mine[c]));
            give(r, s, Q, at_of(s, Q, image, head, i) + (size_t)c, scale * e * k[c],
                 scale * e_may * fabs(k[c]));
        }
    }
}

static void backward(sb_reference *r)
{
    for (int input = 0; input < 2; input++)
        for (size_t i = 0; r->dx[input] && i < sb_shape_elements(&r->xs[input]); i++)
            r->dx[input][i] = r->dx_bound[input][i] = 0;
    each(r, backward_query);
}

static void fill_large(sb_trial *t, sb_reference *r)
{
    (void)r;
    for (int i = 0; i < 2; i++)
        sb_fill_normal(t, sb_array_x(t, i), 0, 10);
}

/* Of one query, one key, and one value. */
static void fill_nan(sb_trial *t, sb_reference *r)
{
    const sb_attention s = of(r);
    for (int i = 0; i < 2; i++)
        sb_fill_normal(t, sb_array_x(t, i), 0, 1);
    r->x[0][at_of(&s, Q, 0, 0, 1)] = NAN;
    r->x[sb_attention_input(&s, K)][at_of(&s, K, 1, s.heads - 1, 2)] = NAN;
    r->x[sb_attention_input(&s, V)][at_of(&s, V, 2, 0, 0)] = NAN;
}

#define TEST(filled)                                                                                        \
    {                                                                                                       \
        .op = SB_OP_ATTENTION, .how_bytes = sizeof(sb_attention_how), .fill = (filled), .forward = forward, \
        .backward = backward                                                                                \
    }
static const sb_op_test ordinary = TEST(NULL), large = TEST(fill_large), nans = TEST(fill_nan);

static void add(const sb_op_test *test, sb_shape x, int heads, sb_op_options options, const char *what)
{
    sb_op_case_add(test, &(sb_attention_how){ heads }, (sb_shape[2]){ x }, options,
                   "%s [%d, %d, %d, %d], %d heads%s", sb_type_name(x.type), x.n, x.h, x.w, x.c, heads, what);
}

/* Queries to as many keys of other places. */
static void add_cross(const sb_op_test *test, sb_shape q, int keys, int heads, sb_op_options options,
                      const char *what)
{
    const sb_shape kv = { q.n, 1, keys, 2 * q.c, q.type };
    sb_op_case_add(test, &(sb_attention_how){ heads }, (sb_shape[]){ q, kv }, options,
                   "%s [%d, %d, %d, %d] to %d, %d heads%s", sb_type_name(q.type), q.n, q.h, q.w, q.c, keys,
                   heads, what);
}

static int shape_of(int channels, int heads, sb_type type)
{
    sb_shape y;
    return sb_op_attention.shape(&(sb_attention_how){ heads },
                                 (sb_shape[]){ { 2, 1, 4, channels, type }, { 0 } }, &y);
}

static int cross_of(sb_shape keys)
{
    sb_shape y;
    return sb_op_attention.shape(&(sb_attention_how){ 2 }, (sb_shape[]){ { 2, 1, 4, 64, SB_F32 }, keys }, &y);
}

static int refuse_thirds(sb_device *d) { return (void)d, shape_of(64, 1, SB_F32); }
static int refuse_heads(sb_device *d) { return (void)d, shape_of(3 * 64, 3, SB_F32); }
static int refuse_no_heads(sb_device *d) { return (void)d, shape_of(3 * 64, 0, SB_F32); }
static int refuse_wide(sb_device *d) { return (void)d, shape_of(3 * 130, 2, SB_F32); }
static int refuse_bytes(sb_device *d) { return (void)d, shape_of(3 * 64, 1, SB_U8); }
static int refuse_images(sb_device *d) { return (void)d, cross_of((sb_shape){ 3, 1, 4, 128, SB_F32 }); }
static int refuse_width(sb_device *d) { return (void)d, cross_of((sb_shape){ 2, 1, 4, 192, SB_F32 }); }
static int refuse_type(sb_device *d) { return (void)d, cross_of((sb_shape){ 2, 1, 4, 128, SB_F16 }); }

void sb_cases_attention(void)
{
    /* Images, sides, heads, channels of one. */
    const int sizes[][5] = { { 1, 1, 1, 1, 1 },   { 2, 1, 1, 3, 64 },  { 1, 1, 31, 2, 33 },
                             { 1, 3, 11, 1, 7 },  { 2, 1, 50, 3, 64 }, { 1, 5, 13, 2, 32 },
                             { 1, 1, 255, 1, 5 }, { 1, 1, 257, 1, 9 }, { 3, 4, 4, 6, 16 },
                             { 2, 3, 3, 2, 63 },  { 1, 10, 30, 1, 2 } };
    /* Images, sides of the queries, keys, heads, channels of one. */
    const int crosses[][6] = { { 1, 1, 1, 1, 1, 1 },    { 2, 1, 31, 33, 2, 5 },  { 1, 1, 33, 31, 1, 64 },
                               { 2, 3, 11, 1, 3, 7 },   { 1, 1, 1, 257, 2, 33 }, { 1, 1, 255, 50, 1, 9 },
                               { 1, 1, 257, 63, 1, 2 }, { 3, 4, 4, 255, 2, 16 } };
    const int heads = 3, width = 3 * 3 * 64;
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            if (sb_case_has(type, i))
                add(&ordinary, (sb_shape){ s[0], s[1], s[2], 3 * s[3] * s[4], type }, s[3],
                    (sb_op_options){ 0 }, "");
        }
        for (size_t i = 0; i < sizeof crosses / sizeof *crosses; i++) {
            const int *s = crosses[i];
            if (sb_case_has(type, i))
                add_cross(&ordinary, (sb_shape){ s[0], s[1], s[2], s[4] * s[5], type }, s[3], s[4],
                          (sb_op_options){ 0 }, "");
        }
        add_cross(&large, (sb_shape){ 1, 1, 31, 3 * 64, type }, 33, heads, (sb_op_options){ 0 }, ", large");
        add_cross(&ordinary, (sb_shape){ 2, 1, 1024, 3 * 64, type }, 1024, heads,
                  (sb_op_options){ .timed = true }, "");
        add(&large, (sb_shape){ 1, 1, 33, width, type }, heads, (sb_op_options){ 0 }, ", large");
        add(&ordinary, (sb_shape){ 2, 1, 9, width, type }, heads, (sb_op_options){ .forward_only = true },
            ", forward only");
        add(&ordinary, (sb_shape){ 16, 1, 50, width, type }, heads, (sb_op_options){ .timed = true }, "");
        add(&ordinary, (sb_shape){ 2, 1, 1024, width, type }, heads, (sb_op_options){ .timed = true }, "");
    }
    add(&nans, (sb_shape){ 3, 1, 7, 3 * 2 * 5, SB_F32 }, 2, (sb_op_options){ .nan = true }, ", NaN");
    add_cross(&nans, (sb_shape){ 3, 1, 7, 2 * 5, SB_F32 }, 5, 2, (sb_op_options){ .nan = true }, ", NaN");
    for (unsigned no_dx = 1; no_dx <= 2; no_dx++)
        add_cross(&ordinary, (sb_shape){ 2, 1, 9, 2 * 5, SB_F32 }, 7, 2, (sb_op_options){ .no_dx = no_dx },
                  no_dx == 1 ? ", no dx of the queries" : ", no dx of the keys");
    sb_case_add_refusal("attention: channels that are no three times", refuse_thirds);
    sb_case_add_refusal("attention: heads that do not share the channels", refuse_heads);
    sb_case_add_refusal("attention: no heads", refuse_no_heads);
    sb_case_add_refusal("attention: heads of 65 channels", refuse_wide);
    sb_case_add_refusal("attention: of u8", refuse_bytes);
    sb_case_add_refusal("attention: to keys of other images", refuse_images);
    sb_case_add_refusal("attention: to keys of other channels", refuse_width);
    sb_case_add_refusal("attention: to keys of another type", refuse_type);
}
