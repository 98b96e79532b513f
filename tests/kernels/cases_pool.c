/* cases_pool.c: max pooling, global average pooling, and the input's normalisation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/cases.h"
#include "tests/kernels/reference.h"

typedef struct {
    sb_pool_shape shape;
    bool more; /* dy_more is given */
    bool ties; /* many equal values */
} parameters;

static const parameters *of(const sb_trial *t) { return t->parameters; }

static size_t inputs(const sb_pool_shape *s) { return (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->c; }

static size_t outputs(const sb_pool_shape *s)
{
    return (size_t)s->n * (size_t)((s->h - 1) / 2 + 1) * (size_t)((s->w - 1) / 2 + 1) * (size_t)s->c;
}

static double dot(const double *a, const double *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* ---- max -------------------------------------------------------------------------------------------------------------------------- */

enum { X, Y, ARGMAX, DY, DY_MORE, DX };

static void prepare_max_forward(sb_trial *t)
{
    const sb_pool_shape *s = &of(t)->shape;
    sb_array *x = sb_array_add(t, "x", sb_array_type_of(s->type), SB_ARRAY_GIVEN, inputs(s));
    sb_fill_normal(t, x, 0, 1);
    for (size_t i = 0; i < x->count && of(t)->ties; i++)
        x->value[i] = floor(x->value[i]);
    sb_array_add(t, "y", sb_array_type_of(s->type), SB_ARRAY_WRITTEN, outputs(s));
    sb_array_add(t, "argmax", SB_ARRAY_U8, SB_ARRAY_WRITTEN, outputs(s));
}

static int call_max_forward(sb_trial *t, sb_device *d)
{
    return d->maxpool_forward(d, &of(t)->shape, sb_memory(t, X), sb_memory(t, Y), sb_memory(t, ARGMAX));
}

static void reference_max_forward(sb_trial *t) /* exact: no bound */
{
    sb_reference_maxpool_forward(&of(t)->shape, sb_value(t, X), sb_wanted(t, Y), sb_wanted(t, ARGMAX));
}

static void prepare_max_backward(sb_trial *t)
{
    const sb_pool_shape *s = &of(t)->shape;
    sb_array_type type = sb_array_type_of(s->type);
    prepare_max_forward(t);
    t->arrays[Y].role = t->arrays[ARGMAX].role = SB_ARRAY_GIVEN;
    sb_reference_maxpool_forward(s, sb_value(t, X), sb_value(t, Y), sb_value(t, ARGMAX));
    sb_fill_normal(t, sb_array_add(t, "dy", type, SB_ARRAY_GIVEN, outputs(s)), 0, 1);
    sb_fill_normal(t, sb_array_add(t, "dy_more", type, SB_ARRAY_GIVEN, of(t)->more ? outputs(s) : 0), 0, 1);
    sb_array_add(t, "dx", type, SB_ARRAY_WRITTEN, inputs(s))->gradient_of = of(t)->ties ? -1 : X;
}

static int call_max_backward(sb_trial *t, sb_device *d)
{
    return d->maxpool_backward(d, &of(t)->shape, sb_memory(t, ARGMAX), sb_memory(t, DY), sb_memory(t, DY_MORE), sb_memory(t, DX));
}

static double *both_gradients(const sb_trial *t, bool absolute)
{
    size_t count = t->arrays[DY].count;
    double *sum = sb_doubles(count);
    for (size_t i = 0; i < count; i++) {
        double a = sb_value(t, DY)[i], b = of(t)->more ? sb_value(t, DY_MORE)[i] : 0;
        sum[i] = absolute ? fabs(a) + fabs(b) : a + b;
    }
    return sum;
}

static void reference_max_backward(sb_trial *t)
{
    const sb_pool_shape *s = &of(t)->shape;
    double *dy = both_gradients(t, false), *size = both_gradients(t, true), *magnitude = sb_doubles(inputs(s));
    sb_reference_maxpool_backward(s, sb_value(t, ARGMAX), dy, sb_wanted(t, DX));
    sb_reference_maxpool_backward(s, sb_value(t, ARGMAX), size, magnitude);
    sb_array_bound(&t->arrays[DX], 8, magnitude);
    free(dy);
    free(size);
    free(magnitude);
}

static double loss_max(const sb_trial *t)
{
    size_t count = t->arrays[DY].count;
    double *y = sb_doubles(count), *argmax = sb_doubles(count), *dy = both_gradients(t, false);
    sb_reference_maxpool_forward(&of(t)->shape, sb_value(t, X), y, argmax);
    double sum = dot(y, dy, count);
    free(y);
    free(argmax);
    free(dy);
    return sum;
}

static const sb_operation max_forward = { .name = "maxpool_forward", .prepare = prepare_max_forward, .call = call_max_forward,
                                          .reference = reference_max_forward };
static const sb_operation max_backward = { .name = "maxpool_backward", .prepare = prepare_max_backward, .call = call_max_backward,
                                           .reference = reference_max_backward, .loss = loss_max };

/* ---- average ---------------------------------------------------------------------------------------------------------------------- */

enum { WHOLE, AVERAGE }; /* [n, h, w, c] and [n, c] */

static void declare_average(sb_trial *t, sb_array_role whole, sb_array_role average)
{
    const sb_pool_shape *s = &of(t)->shape;
    sb_fill_normal(t, sb_array_add(t, whole ? "dx" : "x", sb_array_type_of(s->type), whole, inputs(s)), 0.2, 1);
    sb_fill_normal(t, sb_array_add(t, average ? "y" : "dy", SB_ARRAY_F32, average, (size_t)s->n * (size_t)s->c), 0, 1);
}

static void prepare_average_forward(sb_trial *t) { declare_average(t, SB_ARRAY_GIVEN, SB_ARRAY_WRITTEN); }

static void prepare_average_backward(sb_trial *t)
{
    declare_average(t, SB_ARRAY_WRITTEN, SB_ARRAY_GIVEN);
    t->arrays[WHOLE].gradient_of = WHOLE;
}

static int call_average_forward(sb_trial *t, sb_device *d)
{
    return d->avgpool_forward(d, &of(t)->shape, sb_memory(t, WHOLE), sb_memory(t, AVERAGE));
}

static int call_average_backward(sb_trial *t, sb_device *d)
{
    return d->avgpool_backward(d, &of(t)->shape, sb_memory(t, AVERAGE), sb_memory(t, WHOLE));
}

static void reference_average_forward(sb_trial *t)
{
    const sb_pool_shape *s = &of(t)->shape;
    double *x = sb_doubles_absolute(inputs(s), sb_value(t, WHOLE)), *magnitude = sb_doubles(t->arrays[AVERAGE].count);
    sb_reference_avgpool_forward(s, sb_value(t, WHOLE), sb_wanted(t, AVERAGE));
    sb_reference_avgpool_forward(s, x, magnitude);
    sb_array_bound(&t->arrays[AVERAGE], s->h * s->w, magnitude);
    free(x);
    free(magnitude);
}

static void reference_average_backward(sb_trial *t)
{
    sb_reference_avgpool_backward(&of(t)->shape, sb_value(t, AVERAGE), sb_wanted(t, WHOLE));
    for (size_t i = 0; i < t->arrays[WHOLE].count; i++)
        t->arrays[WHOLE].bound[i] = SB_UNIT_F32 * fabs(sb_wanted(t, WHOLE)[i]); /* of the share */
}

static double loss_average(const sb_trial *t)
{
    double *y = sb_doubles(t->arrays[AVERAGE].count);
    sb_reference_avgpool_forward(&of(t)->shape, sb_value(t, WHOLE), y);
    double sum = dot(y, sb_value(t, AVERAGE), t->arrays[AVERAGE].count);
    free(y);
    return sum;
}

static const sb_operation average_forward = { .name = "avgpool_forward", .prepare = prepare_average_forward, .call = call_average_forward,
                                              .reference = reference_average_forward };
static const sb_operation average_backward = { .name = "avgpool_backward", .prepare = prepare_average_backward,
                                               .call = call_average_backward, .reference = reference_average_backward,
                                               .loss = loss_average };

/* ---- input ------------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    int n, side, c;
    sb_type type;
} input_parameters;

enum { PIXELS, NORMAL };

static const float input_mean[] = { 0.485f, 0.456f, 0.406f }, input_std[] = { 0.229f, 0.224f, 0.225f }; /* the host's */

static void prepare_input(sb_trial *t)
{
    const input_parameters *p = t->parameters;
    size_t count = (size_t)p->n * (size_t)p->side * (size_t)p->side * (size_t)p->c;
    sb_fill_uniform(t, sb_array_add(t, "pixels", SB_ARRAY_U8, SB_ARRAY_GIVEN, count), 0, 256);
    sb_array_add(t, "x", sb_array_type_of(p->type), SB_ARRAY_WRITTEN, count);
}

static int call_input(sb_trial *t, sb_device *d)
{
    const input_parameters *p = t->parameters;
    return d->input(d, p->n, p->side, p->c, sb_memory(t, PIXELS), input_mean, input_std, p->type, sb_memory(t, NORMAL));
}

static void reference_input(sb_trial *t)
{
    const input_parameters *p = t->parameters;
    sb_array *x = &t->arrays[NORMAL];
    for (size_t i = 0; i < x->count; i++) {
        double value = sb_value(t, PIXELS)[i] / 255, mean = input_mean[i % (size_t)p->c], deviation = input_std[i % (size_t)p->c];
        x->wanted[i] = (value - mean) / deviation;
        x->bound[i] = sb_growth(1) * SB_UNIT_F32 * (value + mean) / deviation;
    }
}

static const sb_operation input = { .name = "input", .prepare = prepare_input, .call = call_input, .reference = reference_input };

/* ---- the list --------------------------------------------------------------------------------------------------------------------- */

static const char *type_name(sb_type type) { return type == SB_F32 ? "f32" : "bf16"; }

static void add_max(bool timed, parameters p)
{
    const sb_pool_shape *s = &p.shape;
    char text[96];
    snprintf(text, sizeof text, "%s [%d, %d, %d, %d]%s", type_name(s->type), s->n, s->h, s->w, s->c, p.ties ? " ties" : "");
    sb_case_add(&max_forward, timed, &p, sizeof p, "%s", text);
    sb_case_add(&max_backward, timed, &p, sizeof p, "%s", text);
    p.more = true;
    if (!timed)
        sb_case_add(&max_backward, timed, &p, sizeof p, "%s two gradients", text);
}

static void add_average(bool timed, parameters p)
{
    const sb_pool_shape *s = &p.shape;
    sb_case_add(&average_forward, timed, &p, sizeof p, "%s [%d, %d, %d, %d]", type_name(s->type), s->n, s->h, s->w, s->c);
    sb_case_add(&average_backward, timed, &p, sizeof p, "%s [%d, %d, %d, %d]", type_name(s->type), s->n, s->h, s->w, s->c);
}

void sb_cases_pool(void)
{
    const int sizes[][4] = { { 1, 1, 1, 1 },   { 2, 2, 2, 33 },   { 1, 31, 33, 31 }, { 33, 7, 7, 1 },  { 1, 255, 2, 3 },
                             { 1, 1, 257, 3 }, { 31, 2, 5, 16 },  { 2, 3, 3, 257 },  { 1, 4, 4, 255 }, { 2, 16, 16, 64 } };
    for (sb_type type = SB_F32; type <= SB_BF16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int ties = 0; ties < 2; ties++) {
                parameters p = { { sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], type }, .ties = ties || type == SB_BF16 };
                if (ties || type == SB_F32) /* bf16 has ties anyway */
                    add_max(false, p);
                if (!ties)
                    add_average(false, p);
            }
        add_max(true, (parameters){ .shape = { 8, 112, 112, 64, type } });
        add_average(true, (parameters){ .shape = { 8, 7, 7, 2048, type } });
        const int inputs_of[][3] = { { 1, 1, 1 }, { 3, 31, 3 }, { 2, 33, 1 }, { 1, 255, 3 }, { 1, 257, 1 }, { 33, 16, 3 } };
        for (size_t i = 0; i < sizeof inputs_of / sizeof *inputs_of; i++) {
            input_parameters p = { inputs_of[i][0], inputs_of[i][1], inputs_of[i][2], type };
            sb_case_add(&input, false, &p, sizeof p, "%s [%d, %d, %d, %d]", type_name(type), p.n, p.side, p.side, p.c);
        }
        input_parameters large = { 8, 224, 3, type };
        sb_case_add(&input, true, &large, sizeof large, "%s [8, 224, 224, 3]", type_name(type));
    }
}
