/* cases_vector.c: matrix products and the small f32 operations on vectors and rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/cases.h"
#include "tests/kernels/reference.h"

static double dot(const double *a, const double *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* ---- matmul ----------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    bool transpose_a, transpose_b;
    int m, n, k;
    float alpha, beta;
} matmul_parameters;

enum { A, B, C };

static void prepare_matmul(sb_trial *t)
{
    const matmul_parameters *p = t->parameters;
    sb_fill_normal(t, sb_array_add(t, "a", SB_ARRAY_F32, SB_ARRAY_GIVEN, (size_t)p->m * (size_t)p->k), 0.1, 1);
    sb_fill_normal(t, sb_array_add(t, "b", SB_ARRAY_F32, SB_ARRAY_GIVEN, (size_t)p->k * (size_t)p->n), 0.1, 1);
    sb_array_role role = p->beta != 0 ? SB_ARRAY_UPDATED : SB_ARRAY_WRITTEN; /* beta 0: even NaN in c is not read */
    sb_fill_normal(t, sb_array_add(t, "c", SB_ARRAY_F32, role, (size_t)p->m * (size_t)p->n), 0, 1);
    t->flops = 2.0 * p->m * p->n * p->k;
}

static int call_matmul(sb_trial *t, sb_device *d)
{
    const matmul_parameters *p = t->parameters;
    return d->matmul(d, p->transpose_a, p->transpose_b, p->m, p->n, p->k, p->alpha, sb_memory(t, A), sb_memory(t, B), p->beta,
                     sb_memory(t, C));
}

static void reference_matmul(sb_trial *t)
{
    const matmul_parameters *p = t->parameters;
    sb_array *c = &t->arrays[C];
    double *a = sb_doubles_absolute(t->arrays[A].count, sb_value(t, A)), *b = sb_doubles_absolute(t->arrays[B].count, sb_value(t, B));
    double *magnitude = sb_doubles(c->count);
    sb_reference_matmul(p->transpose_a, p->transpose_b, p->m, p->n, p->k, sb_value(t, A), sb_value(t, B), c->wanted);
    sb_reference_matmul(p->transpose_a, p->transpose_b, p->m, p->n, p->k, a, b, magnitude);
    for (size_t i = 0; i < c->count; i++) {
        double old = p->beta != 0 ? p->beta * c->value[i] : 0;
        c->wanted[i] = p->alpha * c->wanted[i] + old;
        magnitude[i] = fabs(p->alpha * magnitude[i]) + fabs(old);
    }
    sb_array_bound(c, p->k, magnitude);
    free(a);
    free(b);
    free(magnitude);
}

static const sb_operation matmul = { .name = "matmul", .prepare = prepare_matmul, .call = call_matmul, .reference = reference_matmul };

static void add_matmul(bool timed, matmul_parameters p)
{
    sb_case_add(&matmul, timed, &p, sizeof p, "[%d, %d] of %d%s%s, alpha %g, beta %g", p.m, p.n, p.k, p.transpose_a ? " A'" : "",
                p.transpose_b ? " B'" : "", (double)p.alpha, (double)p.beta);
}

static int matmul_of_no_rows(sb_device *d) { return d->matmul(d, false, false, -1, 4, 4, 1, NULL, NULL, 0, NULL); }

/* ---- vectors and rows ------------------------------------------------------------------------------------------------------------- */

typedef struct {
    int rows, columns; /* a vector: rows x columns values */
    float alpha;
    bool accumulate;
} parameters;

static const parameters *of(const sb_trial *t) { return t->parameters; }

static size_t elements(const sb_trial *t) { return (size_t)of(t)->rows * (size_t)of(t)->columns; }

static sb_array *add(sb_trial *t, const char *name, sb_array_role role, size_t count)
{
    sb_array *a = sb_array_add(t, name, SB_ARRAY_F32, role, count);
    sb_fill_normal(t, a, 0.1, 1);
    return a;
}

/* bias_add: x += bias. */
enum { BIAS, BIASED };

static void prepare_bias_add(sb_trial *t)
{
    add(t, "bias", SB_ARRAY_GIVEN, (size_t)of(t)->columns);
    add(t, "x", SB_ARRAY_UPDATED, elements(t));
}

static int call_bias_add(sb_trial *t, sb_device *d)
{
    return d->bias_add(d, of(t)->rows, of(t)->columns, sb_memory(t, BIAS), sb_memory(t, BIASED));
}

static void reference_bias_add(sb_trial *t) /* one addition: rounded as its type is */
{
    for (size_t i = 0; i < elements(t); i++)
        sb_wanted(t, BIASED)[i] = sb_value(t, BIASED)[i] + sb_value(t, BIAS)[i % (size_t)of(t)->columns];
}

/* column_sum: the bias's gradient. */
enum { SUMMED, SUMS, SUMMED_BIAS };

static void prepare_column_sum(sb_trial *t)
{
    add(t, "x", SB_ARRAY_GIVEN, elements(t));
    add(t, "out", of(t)->accumulate ? SB_ARRAY_UPDATED : SB_ARRAY_WRITTEN, (size_t)of(t)->columns)->gradient_of = SUMMED_BIAS;
    add(t, "bias", SB_ARRAY_GIVEN, (size_t)of(t)->columns); /* of which the sums are the gradient; not the device's business */
}

static int call_column_sum(sb_trial *t, sb_device *d)
{
    return d->column_sum(d, of(t)->rows, of(t)->columns, sb_memory(t, SUMMED), sb_memory(t, SUMS), of(t)->accumulate);
}

static void reference_column_sum(sb_trial *t)
{
    sb_array *out = &t->arrays[SUMS];
    double *x = sb_doubles_absolute(elements(t), sb_value(t, SUMMED)), *magnitude = sb_doubles(out->count);
    sb_reference_column_sum(of(t)->rows, of(t)->columns, sb_value(t, SUMMED), out->wanted);
    sb_reference_column_sum(of(t)->rows, of(t)->columns, x, magnitude);
    for (size_t i = 0; i < out->count && of(t)->accumulate; i++) {
        out->wanted[i] += out->value[i];
        magnitude[i] += fabs(out->value[i]);
    }
    sb_array_bound(out, of(t)->rows, magnitude);
    free(x);
    free(magnitude);
}

static double loss_column_sum(const sb_trial *t)
{
    double sum = 0;
    for (size_t i = 0; i < elements(t); i++)
        sum += sb_value(t, SUMMED)[i] * sb_value(t, SUMMED_BIAS)[i % (size_t)of(t)->columns];
    return sum;
}

/* relu. */
enum { RELU_X, RELU_Y, RELU_DY, RELU_DX };

static void prepare_relu_forward(sb_trial *t)
{
    add(t, "x", SB_ARRAY_GIVEN, elements(t))->value[0] = 0;
    add(t, "y", SB_ARRAY_WRITTEN, elements(t));
}

static void fill_relu(const sb_trial *t, double *y)
{
    for (size_t i = 0; i < elements(t); i++)
        y[i] = fmax(sb_value(t, RELU_X)[i], 0);
}

static int call_relu_forward(sb_trial *t, sb_device *d)
{
    return d->relu_forward(d, elements(t), sb_memory(t, RELU_X), sb_memory(t, RELU_Y));
}

static void reference_relu_forward(sb_trial *t) { fill_relu(t, sb_wanted(t, RELU_Y)); }

static void prepare_relu_backward(sb_trial *t)
{
    add(t, "x", SB_ARRAY_GIVEN, elements(t)); /* not the device's business */
    fill_relu(t, add(t, "y", SB_ARRAY_GIVEN, elements(t))->value);
    add(t, "dy", SB_ARRAY_GIVEN, elements(t));
    add(t, "dx", SB_ARRAY_WRITTEN, elements(t))->gradient_of = RELU_X;
}

static int call_relu_backward(sb_trial *t, sb_device *d)
{
    return d->relu_backward(d, elements(t), sb_memory(t, RELU_Y), sb_memory(t, RELU_DY), sb_memory(t, RELU_DX));
}

static void reference_relu_backward(sb_trial *t)
{
    for (size_t i = 0; i < elements(t); i++)
        sb_wanted(t, RELU_DX)[i] = sb_value(t, RELU_Y)[i] > 0 ? sb_value(t, RELU_DY)[i] : 0;
}

static double loss_relu(const sb_trial *t)
{
    double *y = sb_doubles(elements(t));
    fill_relu(t, y);
    double sum = dot(y, sb_value(t, RELU_DY), elements(t));
    free(y);
    return sum;
}

/* axpy and axpy_rows: y += alpha factor_r x. */
enum { AXPY_X, AXPY_Y, AXPY_FACTOR };

static void prepare_axpy(sb_trial *t)
{
    add(t, "x", SB_ARRAY_GIVEN, elements(t));
    add(t, "y", SB_ARRAY_UPDATED, elements(t));
}

static void prepare_axpy_rows(sb_trial *t)
{
    prepare_axpy(t);
    add(t, "factor", SB_ARRAY_GIVEN, (size_t)of(t)->rows);
}

static int call_axpy(sb_trial *t, sb_device *d) { return d->axpy(d, elements(t), of(t)->alpha, sb_memory(t, AXPY_X), sb_memory(t, AXPY_Y)); }

static int call_axpy_rows(sb_trial *t, sb_device *d)
{
    return d->axpy_rows(d, of(t)->rows, of(t)->columns, of(t)->alpha, sb_memory(t, AXPY_FACTOR), sb_memory(t, AXPY_X),
                        sb_memory(t, AXPY_Y));
}

static void reference_axpy(sb_trial *t)
{
    sb_array *y = &t->arrays[AXPY_Y];
    for (size_t i = 0; i < elements(t); i++) {
        double factor = t->array_count > AXPY_FACTOR ? sb_value(t, AXPY_FACTOR)[i / (size_t)of(t)->columns] : 1;
        double term = of(t)->alpha * factor * sb_value(t, AXPY_X)[i];
        y->wanted[i] = y->value[i] + term;
        y->bound[i] = 2 * SB_UNIT_F32 * fabs(term);
    }
}

/* row_dot. */
enum { LEFT, RIGHT, DOTS };

static void prepare_row_dot(sb_trial *t)
{
    add(t, "a", SB_ARRAY_GIVEN, elements(t));
    add(t, "b", SB_ARRAY_GIVEN, elements(t));
    add(t, "out", SB_ARRAY_WRITTEN, (size_t)of(t)->rows);
}

static int call_row_dot(sb_trial *t, sb_device *d)
{
    return d->row_dot(d, of(t)->rows, of(t)->columns, sb_memory(t, LEFT), sb_memory(t, RIGHT), sb_memory(t, DOTS));
}

static void reference_row_dot(sb_trial *t)
{
    double *a = sb_doubles_absolute(elements(t), sb_value(t, LEFT)), *b = sb_doubles_absolute(elements(t), sb_value(t, RIGHT));
    double *magnitude = sb_doubles((size_t)of(t)->rows);
    sb_reference_row_dot(of(t)->rows, of(t)->columns, sb_value(t, LEFT), sb_value(t, RIGHT), sb_wanted(t, DOTS));
    sb_reference_row_dot(of(t)->rows, of(t)->columns, a, b, magnitude);
    sb_array_bound(&t->arrays[DOTS], of(t)->columns, magnitude);
    free(a);
    free(b);
    free(magnitude);
}

/* logistic: from -100 to 100 and -INFINITY; few roundings, each relative. The loss is the softplus's sum, the sigmoid its gradient. */
enum { LOGIT, SOFTPLUS, SIGMOID };

static void prepare_logistic(sb_trial *t)
{
    sb_array *x = sb_array_add(t, "x", SB_ARRAY_F32, SB_ARRAY_GIVEN, elements(t));
    sb_fill_uniform(t, x, -100, 100);
    for (size_t i = 0; i < x->count; i++) /* half of them near 0 */
        x->value[i] = i % 2 ? x->value[i] / 32 : x->value[i];
    if (of(t)->alpha < 0) /* a left-out row's */
        x->value[0] = -INFINITY;
    sb_array_add(t, "softplus", SB_ARRAY_F32, SB_ARRAY_WRITTEN, elements(t));
    sb_array_add(t, "sigmoid", SB_ARRAY_F32, SB_ARRAY_WRITTEN, elements(t))->gradient_of = of(t)->alpha < 0 ? -1 : LOGIT;
}

static int call_logistic(sb_trial *t, sb_device *d)
{
    return d->logistic(d, elements(t), sb_memory(t, LOGIT), sb_memory(t, SOFTPLUS), sb_memory(t, SIGMOID));
}

static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

static void reference_logistic(sb_trial *t)
{
    for (size_t i = 0; i < elements(t); i++) {
        double x = sb_value(t, LOGIT)[i];
        sb_wanted(t, SOFTPLUS)[i] = softplus(x);
        sb_wanted(t, SIGMOID)[i] = 1 / (1 + exp(-x));
        for (int k = SOFTPLUS; k <= SIGMOID; k++)
            t->arrays[k].bound[i] = sb_growth(1) * SB_UNIT_F32 * sb_wanted(t, k)[i];
    }
}

static double loss_logistic(const sb_trial *t)
{
    double sum = 0;
    for (size_t i = 0; i < elements(t); i++)
        sum += softplus(sb_value(t, LOGIT)[i]);
    return sum;
}

/* rownorm. Some rows are 0, and some too small to be made unit vectors. */
enum { ROW_X, ROW_Z, ROW_NORM, ROW_DZ, ROW_DX };

static void prepare_rownorm_forward(sb_trial *t)
{
    sb_array *x = add(t, "x", SB_ARRAY_GIVEN, elements(t));
    for (size_t i = 0; i < x->count && of(t)->rows > 2; i++)
        if (i / (size_t)of(t)->columns < 2)
            x->value[i] *= i / (size_t)of(t)->columns ? 1e-20 : 0;
    sb_array_round(x);
    sb_array_add(t, "z", SB_ARRAY_F32, SB_ARRAY_WRITTEN, elements(t));
    sb_array_add(t, "norm", SB_ARRAY_F32, SB_ARRAY_WRITTEN, (size_t)of(t)->rows);
}

static int call_rownorm_forward(sb_trial *t, sb_device *d)
{
    return d->rownorm_forward(d, of(t)->rows, of(t)->columns, sb_memory(t, ROW_X), sb_memory(t, ROW_Z), sb_memory(t, ROW_NORM));
}

static void reference_rownorm_forward(sb_trial *t)
{
    sb_array *z = &t->arrays[ROW_Z], *norm = &t->arrays[ROW_NORM];
    sb_reference_rownorm_forward(of(t)->rows, of(t)->columns, sb_value(t, ROW_X), z->wanted, norm->wanted);
    sb_array_bound(norm, of(t)->columns, norm->wanted);
    double *magnitude = sb_doubles_absolute(z->count, z->wanted);
    sb_array_bound(z, of(t)->columns, magnitude);
    free(magnitude);
}

static void prepare_rownorm_backward(sb_trial *t)
{
    add(t, "x", SB_ARRAY_GIVEN, elements(t)); /* not the device's business */
    sb_array *z = sb_array_add(t, "z", SB_ARRAY_F32, SB_ARRAY_GIVEN, elements(t));
    sb_array *norm = sb_array_add(t, "norm", SB_ARRAY_F32, SB_ARRAY_GIVEN, (size_t)of(t)->rows);
    sb_reference_rownorm_forward(of(t)->rows, of(t)->columns, sb_value(t, ROW_X), z->value, norm->value);
    sb_array_round(z);
    sb_array_round(norm);
    add(t, "dz", SB_ARRAY_GIVEN, elements(t));
    add(t, "dx", SB_ARRAY_WRITTEN, elements(t))->gradient_of = of(t)->columns > 1 ? ROW_X : -1; /* one column: 0 but for rounding */
}

static int call_rownorm_backward(sb_trial *t, sb_device *d)
{
    return d->rownorm_backward(d, of(t)->rows, of(t)->columns, sb_memory(t, ROW_Z), sb_memory(t, ROW_NORM), sb_memory(t, ROW_DZ),
                               sb_memory(t, ROW_DX));
}

static void reference_rownorm_backward(sb_trial *t)
{
    sb_array *dx = &t->arrays[ROW_DX];
    size_t columns = (size_t)of(t)->columns;
    double *z = sb_doubles_absolute(elements(t), sb_value(t, ROW_Z)), *dz = sb_doubles_absolute(elements(t), sb_value(t, ROW_DZ));
    sb_reference_rownorm_backward(of(t)->rows, of(t)->columns, sb_value(t, ROW_Z), sb_value(t, ROW_NORM), sb_value(t, ROW_DZ), dx->wanted);
    for (size_t i = 0; i < elements(t); i++) {
        size_t row = i / columns;
        double magnitude = (dz[i] + z[i] * dot(z + row * columns, dz + row * columns, columns)) / sb_value(t, ROW_NORM)[row];
        dx->bound[i] = sb_growth(of(t)->columns) * SB_UNIT_F32 * magnitude;
    }
    free(z);
    free(dz);
}

static double loss_rownorm(const sb_trial *t)
{
    double *z = sb_doubles(elements(t)), *norm = sb_doubles((size_t)of(t)->rows);
    sb_reference_rownorm_forward(of(t)->rows, of(t)->columns, sb_value(t, ROW_X), z, norm);
    double sum = dot(z, sb_value(t, ROW_DZ), elements(t));
    free(z);
    free(norm);
    return sum;
}

/* ---- the list --------------------------------------------------------------------------------------------------------------------- */

static const sb_operation operations[] = {
    { .name = "bias_add", .prepare = prepare_bias_add, .call = call_bias_add, .reference = reference_bias_add },
    { .name = "relu_forward", .prepare = prepare_relu_forward, .call = call_relu_forward, .reference = reference_relu_forward },
    { .name = "relu_backward", .prepare = prepare_relu_backward, .call = call_relu_backward, .reference = reference_relu_backward,
      .loss = loss_relu },
    { .name = "axpy", .prepare = prepare_axpy, .call = call_axpy, .reference = reference_axpy },
    { .name = "axpy_rows", .prepare = prepare_axpy_rows, .call = call_axpy_rows, .reference = reference_axpy },
    { .name = "row_dot", .prepare = prepare_row_dot, .call = call_row_dot, .reference = reference_row_dot },
    { .name = "logistic", .prepare = prepare_logistic, .call = call_logistic, .reference = reference_logistic, .loss = loss_logistic },
    { .name = "rownorm_forward", .prepare = prepare_rownorm_forward, .call = call_rownorm_forward,
      .reference = reference_rownorm_forward },
    { .name = "rownorm_backward", .prepare = prepare_rownorm_backward, .call = call_rownorm_backward,
      .reference = reference_rownorm_backward, .loss = loss_rownorm },
};
static const sb_operation column_sum = { .name = "column_sum", .prepare = prepare_column_sum, .call = call_column_sum,
                                         .reference = reference_column_sum, .loss = loss_column_sum };

void sb_cases_vector(void)
{
    const int products[][3] = { { 1, 1, 1 }, { 31, 33, 1 }, { 1, 257, 255 }, { 255, 1, 31 }, { 33, 31, 257 }, { 257, 128, 33 } };
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        for (int flags = 0; flags < 4; flags++) {
            matmul_parameters p = { flags & 1, flags & 2, products[i][0], products[i][1], products[i][2], .alpha = 1, .beta = 0 };
            add_matmul(false, p);
            p.beta = 1;
            add_matmul(false, p);
            p.alpha = -0.3f;
            p.beta = 0.7f;
            add_matmul(false, p);
        }
    add_matmul(true, (matmul_parameters){ false, true, 512, 2048, 2048, 1, 0 }); /* a projector's three */
    add_matmul(true, (matmul_parameters){ false, false, 512, 2048, 2048, 1, 0 });
    add_matmul(true, (matmul_parameters){ true, false, 2048, 2048, 512, 1, 1 });
    sb_case_add_refusal("matmul: of less than no rows", matmul_of_no_rows);

    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 33, 31 }, { 255, 1 }, { 257, 255 } };
    for (size_t k = 0; k < sizeof operations / sizeof *operations; k++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            parameters p = { sizes[i][0], sizes[i][1], .alpha = i % 2 ? -0.3f : 1 };
            sb_case_add(&operations[k], false, &p, sizeof p, "[%d, %d]%s", p.rows, p.columns, i % 2 ? "" : " alpha 1");
        }
        parameters large = { 4096, 2048, .alpha = 0.5f };
        sb_case_add(&operations[k], true, &large, sizeof large, "[4096, 2048]");
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            parameters p = { sizes[i][0], sizes[i][1], .accumulate = accumulate };
            sb_case_add(&column_sum, false, &p, sizeof p, "[%d, %d]%s", p.rows, p.columns, accumulate ? " accumulated" : "");
        }
    parameters large = { 4096, 2048, .accumulate = true };
    sb_case_add(&column_sum, true, &large, sizeof large, "[4096, 2048] accumulated");
}
