/* layernorm.c: rows near 0 and far from it, with and without weights. */
#include "kernels/op/layernorm.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static size_t width_of(const sb_reference *r) { return (size_t)r->xs[0].c; }
static double epsilon_of(const sb_reference *r)
{
    return (double)((const sb_layernorm_how *)r->how)->epsilon;
}
static double gamma_of(const sb_reference *r, size_t c) { return r->w[0] ? r->w[0][c] : 1; }

/* aux [rows, 2]. The mean's terms are the values; the variance is taken from a mean that may be off. */
static void forward_row(sb_reference *r, const double *x, double *y, double *y_bound, double *aux,
                        double *aux_bound)
{
    const size_t c = width_of(r);
    const double unit = sb_growth((double)c) * SB_UNIT_F32;
    double mean = 0, variance = 0, magnitude = 0;
    for (size_t i = 0; i < c; i++) {
        mean += x[i] / (double)c;
        magnitude += fabs(x[i]) / (double)c;
    }
    for (size_t i = 0; i < c; i++)
        variance += (x[i] - mean) * (x[i] - mean) / (double)c;
    const double inverse = 1 / sqrt(variance + epsilon_of(r)), mean_off = unit * magnitude,
                 inverse_off = unit + mean_off * mean_off * inverse * inverse; /* of its size */
    for (size_t i = 0; i < c; i++) {
        const double beta = r->w[1] ? r->w[1][i] : 0, normal = (x[i] - mean) * inverse;
        y[i] = normal * gamma_of(r, i) + beta;
        if (y_bound)
            y_bound[i] = fabs(gamma_of(r, i)) * (inverse * mean_off + fabs(normal) * inverse_off) +
                         sb_growth(1) * SB_UNIT_F32 * (fabs(normal * gamma_of(r, i)) + fabs(beta));
    }
    if (aux) {
        aux[0] = mean;
        aux[1] = inverse;
    }
    if (aux && aux_bound) {
        aux_bound[0] = mean_off;
        aux_bound[1] = inverse_off * inverse;
    }
}

static void forward(sb_reference *r)
{
    const size_t c = width_of(r);
    for (size_t row = 0; row < sb_shape_rows(&r->xs[0]); row++)
        forward_row(r, r->x[0] + row * c, r->y + row * c, r->y_bound ? r->y_bound + row * c : NULL,
                    r->aux ? r->aux + 2 * row : NULL, r->aux_bound ? r->aux_bound + 2 * row : NULL);
}

/* Statistics as forward left them. */
static void backward_row(sb_reference *r, size_t row)
{
    const size_t c = width_of(r), at = row * c;
    const double *x = r->x[0] + at, *dy = r->dy + at, mean = r->aux[2 * row], inverse = r->aux[2 * row + 1],
                 unit = sb_growth((double)c) * SB_UNIT_F32;
    double all = 0, along = 0, all_terms = 0, along_terms = 0;
    for (size_t i = 0; i < c; i++) {
        const double g = gamma_of(r, i) * dy[i], terms = (fabs(x[i]) + fabs(mean)) * inverse;
        all += g / (double)c;
        along += g * (x[i] - mean) * inverse / (double)c;
        all_terms += fabs(g) / (double)c;
        along_terms += fabs(g) * terms / (double)c;
    }
    for (size_t i = 0; i < c && r->dx[0]; i++) {
        const double g = gamma_of(r, i) * dy[i], terms = (fabs(x[i]) + fabs(mean)) * inverse;
        r->dx[0][at + i] = inverse * (g - all - (x[i] - mean) * inverse * along);
        r->dx_bound[0][at + i] = unit * inverse * (fabs(g) + all_terms + terms * along_terms);
    }
}

static void backward_weight(sb_reference *r, size_t i)
{
    const size_t c = width_of(r), rows = sb_shape_rows(&r->xs[0]);
    const double unit = sb_growth((double)rows) * SB_UNIT_F32;
    double product = 0, sum = 0, product_terms = 0, sum_terms = 0;
    for (size_t row = 0; row < rows; row++) {
        const double x = r->x[0][row * c + i], g = r->dy[row * c + i], mean = r->aux[2 * row],
                     inverse = r->aux[2 * row + 1];
        product += g * (x - mean) * inverse;
        product_terms += fabs(g) * (fabs(x) + fabs(mean)) * inverse;
        sum += g;
        sum_terms += fabs(g);
    }
    if (r->dw[0]) {
        r->dw[0][i] = product;
        r->dw_bound[0][i] = unit * product_terms;
    }
    if (r->dw[1]) {
        r->dw[1][i] = sum;
        r->dw_bound[1][i] = unit * sum_terms;
    }
}

static void backward(sb_reference *r)
{
    for (size_t row = 0; row < sb_shape_rows(&r->xs[0]); row++)
        backward_row(r, row);
    for (size_t i = 0; i < width_of(r); i++)
        backward_weight(r, i);
}

static void fill(sb_trial *t, sb_reference *r, double offset)
{
    (void)r;
    sb_fill_normal(t, sb_array_x(t, 0), offset, 1);
    sb_fill_normal(t, sb_array_w(t, 0), 0.5, 1);
    sb_fill_normal(t, sb_array_w(t, 1), 0, 1);
}

static void fill_near(sb_trial *t, sb_reference *r) { fill(t, r, 0.3); }
static void fill_far(sb_trial *t, sb_reference *r) { fill(t, r, 30); }

/* In one row: the others stay numbers. */
static void fill_nan(sb_trial *t, sb_reference *r)
{
    fill(t, r, 0.3);
    r->x[0][0] = NAN;
}

#define TEST(f)                                                                                        \
    {                                                                                                  \
        .op = SB_OP_LAYERNORM, .how_bytes = sizeof(sb_layernorm_how), .fill = (f), .forward = forward, \
        .backward = backward                                                                           \
    }
static const sb_op_test near = TEST(fill_near), far = TEST(fill_far), nan_inside = TEST(fill_nan);

static void add(const sb_op_test *test, sb_shape x, sb_op_options options)
{
    static const char *const without[] = { "", " no gamma", " no beta", " plain" };
    const sb_layernorm_how how = { .epsilon = 1e-6f };
    options.no_differences = x.c <= 2; /* of two values, dx is 0 but for epsilon; of one, it is 0 */
    options.nan = test == &nan_inside;
    sb_op_case_add(test, &how, &x, options, "%s [%d, %d, %d, %d]%s%s%s%s", sb_type_name(x.type), x.n, x.h,
                   x.w, x.c, without[options.without],
                   test == &far  ? " far from 0"
                   : options.nan ? " NaN"
                                 : "",
                   options.no_dx ? " no dx" : "", options.forward_only ? " alone" : "");
}

static int refuse(sb_device *device)
{
    sb_shape y;
    return (void)device,
           sb_op_layernorm.shape(&(sb_layernorm_how){ 1e-6f }, &(sb_shape){ 4, 1, 1, 4, SB_I32 }, &y);
}

void sb_cases_layernorm(void)
{
    const int sizes[][2] = { { 1, 1 },    { 31, 2 },   { 1, 257 }, { 31, 33 }, { 33, 31 },
                             { 255, 40 }, { 257, 16 }, { 2, 255 }, { 65, 768 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const sb_shape x = { sizes[i][0], 1, 1, sizes[i][1], type };
            if (!sb_case_has(type, i))
                continue;
            add(&near, x, (sb_op_options){ 0 });
            add(&far, x, (sb_op_options){ 0 });
        }
        for (unsigned without = 1; without < 4; without++)
            if (sb_case_has(type, without))
                add(&near, (sb_shape){ 3, 7, 5, 33, type }, (sb_op_options){ .without = without });
        add(&near, (sb_shape){ 3, 7, 5, 33, type }, (sb_op_options){ .no_dx = 1 });
        add(&near, (sb_shape){ 3, 7, 5, 33, type }, (sb_op_options){ .forward_only = true });
        add(&nan_inside, (sb_shape){ 3, 7, 5, 33, type }, (sb_op_options){ 0 });
        for (int side = 56, c = 40; side >= 7; side /= 2, c *= 2) /* ConvNeXt-atto, 16 images of 224 pixels */
            add(&near, (sb_shape){ 16, side, side, c, type }, (sb_op_options){ .timed = true });
    }
    sb_case_add_refusal("layernorm: of whole numbers", refuse);
}
