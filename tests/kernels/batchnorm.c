/* batchnorm.c: batch normalisation, every combination of its flags. */
#include "kernels/op/batchnorm.h"

#include <math.h>
#include <stdlib.h>

#include "tests/kernels/op_cases.h"

static int channels_of(const sb_reference *r) { return r->xs[0].c; }
static double rows_of(const sb_reference *r) { return (double)r->xs[0].n * r->xs[0].h * r->xs[0].w; }
static const sb_batchnorm_how *how_of(const sb_reference *r) { return r->how; }
static double epsilon_of(const sb_reference *r) { return (double)how_of(r)->epsilon; }
static bool relu_of(const sb_reference *r) { return how_of(r)->relu; }

/* Mean and biased variance of each column of x: statistics [2, c]. */
static void statistics_of(const sb_reference *r, double *statistics)
{
    size_t c = (size_t)channels_of(r), all = sb_shape_elements(&r->xs[0]);
    for (size_t k = 0; k < c; k++) {
        double sum = 0, square = 0;
        for (size_t i = k; i < all; i += c)
            sum += r->x[0][i];
        statistics[k] = sum / rows_of(r);
        for (size_t i = k; i < all; i += c)
            square += pow(r->x[0][i] - statistics[k], 2);
        statistics[c + k] = square / rows_of(r);
    }
}

/* What the ReLU gets. */
static double before_relu(const sb_reference *r, const double *statistics, size_t i)
{
    size_t c = (size_t)channels_of(r), k = i % c;
    double normal = (r->x[0][i] - statistics[k]) / sqrt(statistics[c + k] + epsilon_of(r));
    return normal * (r->w[0] ? r->w[0][k] : 1) + (r->w[1] ? r->w[1][k] : 0) + (r->x[1] ? r->x[1][i] : 0);
}

/* The mean's terms are the values, the variance's the squared distances. Both may be taken from a shift, such
 * as the first row, which may be four deviations from the mean. */
static void bound_statistics(sb_reference *r)
{
    size_t c = (size_t)channels_of(r), all = sb_shape_elements(&r->xs[0]);
    double unit = sb_growth(rows_of(r)) * SB_UNIT_F32;
    for (size_t k = 0; k < c; k++) {
        double magnitude = 0;
        for (size_t i = k; i < all; i += c)
            magnitude += fabs(r->x[0][i]) / rows_of(r);
        r->aux_bound[k] = unit * (magnitude + 4 * sqrt(r->aux[c + k]));
        r->aux_bound[c + k] = unit * 16 * r->aux[c + k];
    }
}

/* A few roundings of each term, and what errors of the batch's statistics do to it. */
static double bound_y(const sb_reference *r, const double *statistics, size_t i)
{
    size_t c = (size_t)channels_of(r), k = i % c;
    double mean = statistics[k], variance = statistics[c + k] + epsilon_of(r), x = r->x[0][i];
    double scale = (r->w[0] ? fabs(r->w[0][k]) : 1) / sqrt(variance);
    double added = (r->w[1] ? fabs(r->w[1][k]) : 0) + (r->x[1] ? fabs(r->x[1][i]) : 0);
    double rounded = sb_growth(1) * SB_UNIT_F32 * (scale * (fabs(x) + fabs(mean)) + added);
    if (r->w[2])
        return rounded;
    return rounded + scale * (r->aux_bound[k] + fabs(x - mean) * r->aux_bound[c + k] / 2 / variance);
}

static void forward(sb_reference *r)
{
    if (!r->w[2])
        statistics_of(r, r->aux);
    if (!r->w[2] && r->y_bound)
        bound_statistics(r);
    const double *statistics = r->w[2] ? r->w[2] : r->aux;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        double v = before_relu(r, statistics, i);
        r->y[i] = relu_of(r) && v < 0 ? 0 : v; /* NaN stays */
        if (r->y_bound)
            r->y_bound[i] = bound_y(r, statistics, i);
    }
}

/* dy where the ReLU let it through: nothing is rounded. */
static double masked(const sb_reference *r, size_t i) { return relu_of(r) && r->y[i] <= 0 ? 0 : r->dy[i]; }

static void backward_channel(sb_reference *r, size_t k)
{
    size_t c = (size_t)channels_of(r), all = sb_shape_elements(&r->xs[0]);
    double rows = rows_of(r), mean = r->aux[k], inverse = 1 / sqrt(r->aux[c + k] + epsilon_of(r));
    double gamma = r->w[0] ? r->w[0][k] : 1, unit = sb_growth(rows) * SB_UNIT_F32;
    double sum = 0, product = 0, sum_terms = 0, product_terms = 0;
    for (size_t i = k; i < all; i += c) {
        double g = masked(r, i);
        sum += g;
        product += g * (r->x[0][i] - mean) * inverse;
        sum_terms += fabs(g);
        product_terms += fabs(g) * (fabs(r->x[0][i]) + fabs(mean)) * inverse;
    }
    for (size_t i = k; i < all; i += c) {
        double g = masked(r, i), normal = (r->x[0][i] - mean) * inverse;
        double normal_terms = (fabs(r->x[0][i]) + fabs(mean)) * inverse;
        if (r->dx[0]) {
            r->dx[0][i] = gamma * inverse * (g - sum / rows - normal * product / rows);
            r->dx_bound[0][i] = unit * fabs(gamma) * inverse *
                                (fabs(g) + (sum_terms + normal_terms * product_terms) / rows);
        }
        if (r->dx[1])
            r->dx[1][i] = g;
    }
    if (r->dw[0]) {
        r->dw[0][k] = product;
        r->dw_bound[0][k] = unit * product_terms;
    }
    if (r->dw[1]) {
        r->dw[1][k] = sum;
        r->dw_bound[1][k] = unit * sum_terms;
    }
}

static void backward(sb_reference *r)
{
    for (int k = 0; k < channels_of(r); k++)
        backward_channel(r, (size_t)k);
}

/* Moves values away from the ReLU's kink, where roundings would decide whether a gradient passes. */
static void clear_kink(sb_trial *t, sb_reference *r)
{
    double *statistics = sb_doubles(2 * (size_t)channels_of(r));
    size_t found = 1;
    for (int tries = 0; found > 0 && tries < 100; tries++) {
        statistics_of(r, statistics);
        found = 0;
        for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
            if (fabs(before_relu(r, statistics, i)) < 1e-4 * (1 + fabs(r->x[0][i]))) {
                r->x[0][i] += 0.1;
                found++;
            }
        sb_array_round(sb_array_x(t, 0));
    }
    free(statistics);
}

/* offset: of x from 0, in deviations. */
static void fill(sb_trial *t, sb_reference *r, double offset)
{
    size_t c = (size_t)channels_of(r);
    sb_fill_normal(t, sb_array_x(t, 0), offset, 1);
    sb_fill_normal(t, sb_array_x(t, 1), 0, 1);
    sb_fill_normal(t, sb_array_w(t, 0), 0.5, 1);
    sb_fill_normal(t, sb_array_w(t, 1), 0, 1);
    sb_fill_normal(t, sb_array_w(t, 2), offset, 1); /* statistics of other data */
    for (size_t k = 0; k < c && r->w[2]; k++)
        r->w[2][c + k] = 0.1 + 2.9 * (double)sb_random_uniform(&t->random);
    if (relu_of(r) && !r->w[2])
        clear_kink(t, r);
}

/* Far from 0, a naive sum of squares loses its digits. */
static void fill_near(sb_trial *t, sb_reference *r) { fill(t, r, 0.5); }
static void fill_far(sb_trial *t, sb_reference *r) { fill(t, r, 30); }

static const sb_op_test near = { .op = SB_OP_BATCHNORM,
                                 .how_bytes = sizeof(sb_batchnorm_how),
                                 .fill = fill_near,
                                 .forward = forward,
                                 .backward = backward };
static const sb_op_test far = { .op = SB_OP_BATCHNORM,
                                .how_bytes = sizeof(sb_batchnorm_how),
                                .fill = fill_far,
                                .forward = forward,
                                .backward = backward };

/* NaN in a row of x, which the batch's statistics carry to all of a channel, or of the residual, which is
 * added to that row alone. */
static void fill_nan(sb_trial *t, sb_reference *r)
{
    size_t c = (size_t)channels_of(r), row = sb_shape_rows(&r->xs[0]) / 2;
    fill(t, r, 0.5);
    for (size_t k = 0; k < c; k += 3)
        r->x[r->x[1] ? 1 : 0][row * c + k] = NAN;
}

static const sb_op_test nan_inside = { .op = SB_OP_BATCHNORM,
                                       .how_bytes = sizeof(sb_batchnorm_how),
                                       .fill = fill_nan,
                                       .forward = forward,
                                       .backward = backward };

typedef struct {
    sb_shape x;
    bool residual, relu;
    unsigned without; /* 1: gamma, 2: beta */
    unsigned no_dx;   /* 1: of x, 2: of the residual */
} parameters;

/* Training, with its gradients, and evaluation. */
static void add(const sb_op_test *test, bool timed, parameters p)
{
    static const char *const without[] = { "", " no gamma", " no beta", " plain" };
    static const char *const no_dx[] = { "", " no dx0", " no dx1", " no dx" };
    sb_batchnorm_how how = { p.relu, 1e-5f };
    sb_shape xs[2] = { p.x, p.residual ? p.x : (sb_shape){ 0 } };
    /* Of two rows, dx is 0 but for epsilon; of one, it is 0. */
    sb_op_options training = { .timed = timed,
                               .no_differences = p.x.n * p.x.h * p.x.w <= 2,
                               .nan = test == &nan_inside,
                               .no_dx = p.no_dx,
                               .without = p.without | 4 }; /* the given statistics */
    sb_op_options evaluation = {
        .timed = timed, .nan = test == &nan_inside, .forward_only = true, .without = p.without
    };
    char text[64];
    snprintf(text, sizeof text, "%s [%d, %d, %d, %d]%s%s%s%s", sb_type_name(p.x.type), p.x.n, p.x.h, p.x.w,
             p.x.c, without[p.without], p.residual ? " residual" : "", p.relu ? " relu" : "",
             test == &far          ? " far from 0"
             : test == &nan_inside ? " NaN"
                                   : "");
    sb_op_case_add(test, &how, xs, training, "%s%s", text, no_dx[p.no_dx]);
    if (!p.no_dx)
        sb_op_case_add(test, &how, xs, evaluation, "given statistics, %s", text);
}

static int refuse(const sb_shape *xs)
{
    sb_batchnorm_how how = { true, 1e-5f };
    sb_shape y;
    return sb_ops[SB_OP_BATCHNORM]->shape(&how, xs, &y);
}

static int refuse_residual(sb_device *device)
{
    (void)device;
    return refuse((sb_shape[]){ { 2, 4, 4, 8, SB_F32 }, { 2, 4, 2, 8, SB_F32 } });
}

static int refuse_type(sb_device *device)
{
    (void)device;
    return refuse((sb_shape[]){ { 2, 4, 4, 8, SB_F32 }, { 2, 4, 4, 8, SB_BF16 } });
}

static int refuse_rows(sb_device *device)
{
    (void)device;
    return refuse((sb_shape[]){ { 1 << 15, 1 << 8, 1 << 8, 1, SB_F32 }, { 0 } });
}

static int refuse_sides(sb_device *device)
{
    (void)device;
    return refuse((sb_shape[]){ { 2, 4, 4, 0, SB_F32 }, { 0 } });
}

static int refuse_bytes(sb_device *device)
{
    (void)device;
    return refuse((sb_shape[]){ { 2, 4, 4, 8, SB_U8 }, { 0 } });
}

void sb_cases_batchnorm(void)
{
    const int sizes[][2] = { { 2, 31 },   { 1, 33 },    { 31, 257 },  { 33, 1 },
                             { 255, 33 }, { 257, 255 }, { 1025, 16 }, { 5000, 3 } };
    for (sb_type type = SB_F32; type <= SB_BF16; type++) {
        for (int flags = 0; flags < 16; flags++) /* every combination on one size */
            add(&near, false,
                (parameters){ { 3, 19, 9, 33, type }, flags & 1, flags & 2, (unsigned)flags >> 2, 0 });
        for (int flags = 0; flags < 4; flags++)
            add(&nan_inside, false, (parameters){ { 3, 19, 9, 33, type }, flags & 1, flags & 2, 0, 0 });
        for (unsigned no_dx = 1; no_dx < 4; no_dx++)
            for (int relu = 0; relu < 2; relu++)
                add(&near, false, (parameters){ { 513, 1, 1, 33, type }, true, relu, 0, no_dx });
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) { /* everything on every size */
            parameters p = { { sizes[i][0], 1, 1, sizes[i][1], type }, true, true, 0, 0 };
            add(&near, false, p);
            add(&far, false, p);
            p = (parameters){ p.x, .without = 3 }; /* standardised columns */
            add(&near, false, p);
            add(&far, false, p);
        }
        for (int places = 112 * 112, channels = 64; channels <= 2048; places /= 4, channels *= 2) {
            sb_shape x = { 2 * places, 1, 1, channels, type }; /* of two images of 224 pixels */
            add(&near, true, (parameters){ x, channels > 64, true, 0, 0 });
        }
    }
    sb_case_add_refusal("batchnorm: a residual of another shape", refuse_residual);
    sb_case_add_refusal("batchnorm: a residual of another type", refuse_type);
    sb_case_add_refusal("batchnorm: 2^31 rows", refuse_rows);
    sb_case_add_refusal("batchnorm: a side of 0", refuse_sides);
    sb_case_add_refusal("batchnorm: of u8", refuse_bytes);
}
