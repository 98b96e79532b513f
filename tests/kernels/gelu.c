/* gelu.c: GELU, with and without a bias: ordinary values, and all that f32 has a result for, from where it is
 * 0 to where it is x. Bounds: what gelu.h promises, and what the rounding of x + b does. */
#include "kernels/op/gelu.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static double phi(double u) { return 0.5 * erfc(-u * M_SQRT1_2); }
static double bell(double u) { return exp(-u * u / 2) / sqrt(2 * M_PI); }

static double bias_of(const sb_reference *r, size_t i)
{
    return r->w[0] ? r->w[0][i % (size_t)r->xs[0].c] : 0;
}

/* The error of a value of this size, of u: f32 has no more digits of Phi where it is below 2^-126. */
static double bound(double u, double size)
{
    return SB_UNIT_F32 * (12 + 2 * u * u) * size + 0x1p-126 * (1 + fabs(u));
}

static double rounded(const sb_reference *r, size_t i)
{
    return SB_UNIT_F32 * fabs(r->x[0][i] + bias_of(r, i));
}

static void forward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        const double u = r->x[0][i] + bias_of(r, i);
        r->y[i] = u * phi(u);
        if (r->y_bound)
            r->y_bound[i] = isinf(u) ? 0
                                     : bound(u, fabs(r->y[i])) + rounded(r, i) * (phi(u) + fabs(u) * bell(u));
    }
}

static void backward(sb_reference *r)
{
    const size_t c = (size_t)r->xs[0].c, rows = sb_shape_rows(&r->xs[0]);
    for (size_t k = 0; k < c; k++) {
        double sum = 0, terms = 0, off = 0;
        for (size_t i = k; i < rows * c; i += c) {
            const double u = r->x[0][i] + bias_of(r, i), dx = r->dy[i] * (phi(u) + u * bell(u)),
                         own = fabs(r->dy[i]) *
                               (bound(u, phi(u) + fabs(u) * bell(u)) + rounded(r, i) * (2 + u * u) * bell(u));
            if (r->dx[0]) {
                r->dx[0][i] = dx;
                r->dx_bound[0][i] = own;
            }
            sum += dx;
            terms += fabs(dx);
            off += own;
        }
        if (r->dw[0]) {
            r->dw[0][k] = sum;
            r->dw_bound[0][k] = off + sb_growth((double)rows) * SB_UNIT_F32 * terms;
        }
    }
}

/* From -16 to 16, the zero among them, and a few that are large. */
static void fill_wide(sb_trial *t, sb_reference *r)
{
    sb_fill_uniform(t, sb_array_x(t, 0), -16, 16);
    sb_fill_normal(t, sb_array_w(t, 0), 0, 1);
    for (size_t i = 0; i < sb_array_x(t, 0)->count; i += 7)
        r->x[0][i] = i % 2 ? 0 : (i % 4 ? -1 : 1) * ldexp(1, (int)(i % 15));
}

static void fill_nan(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    sb_fill_normal(t, sb_array_w(t, 0), 0, 1);
    r->x[0][0] = NAN;
    if (sb_array_x(t, 0)->count > 40) {
        r->x[0][20] = INFINITY; /* infinite, and backward NaN */
        r->x[0][40] = -INFINITY;
    }
}

#define TEST(f)                                                                              \
    {                                                                                        \
        .op = SB_OP_GELU, .how_bytes = sizeof(sb_gelu_how), .fill = (f), .forward = forward, \
        .backward = backward                                                                 \
    }
static const sb_op_test ordinary = TEST(NULL), wide = TEST(fill_wide), nan_inside = TEST(fill_nan);

static void add(const sb_op_test *test, sb_shape x, bool bias, sb_op_options options)
{
    const sb_gelu_how how = { .bias = bias };
    options.no_differences = test == &wide; /* large values leave differences few digits */
    options.nan = test == &nan_inside;
    sb_op_case_add(test, &how, &x, options, "%s [%d, %d, %d, %d]%s%s%s", sb_type_name(x.type), x.n, x.h, x.w,
                   x.c, bias ? " + b" : "",
                   test == &wide ? " wide"
                   : options.nan ? " NaN"
                                 : "",
                   options.no_dx ? " no dx" : "");
}

static int refuse(sb_device *device)
{
    sb_shape y;
    return (void)device, sb_op_gelu.shape(&(sb_gelu_how){ 0 }, &(sb_shape){ 4, 1, 1, 4, SB_U8 }, &y);
}

void sb_cases_gelu(void)
{
    const int sizes[][2] = { { 1, 1 },    { 1, 257 },  { 31, 33 }, { 33, 31 }, { 255, 1 }, { 257, 15 },
                             { 2, 1025 }, { 65, 255 }, { 1, 8 },   { 31, 12 }, { 33, 40 }, { 257, 264 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (int bias = 0; bias < 2; bias++) {
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                const sb_shape x = { sizes[i][0], 1, 1, sizes[i][1], type };
                if (!sb_case_has(type, i + (size_t)bias))
                    continue;
                add(&ordinary, x, bias, (sb_op_options){ 0 });
                add(&wide, x, bias, (sb_op_options){ 0 });
            }
            add(&nan_inside, (sb_shape){ 3, 7, 5, 33, type }, bias, (sb_op_options){ 0 });
        }
        add(&ordinary, (sb_shape){ 3, 7, 5, 33, type }, true, (sb_op_options){ .no_dx = 1 });
        add(&ordinary, (sb_shape){ 3, 7, 5, 33, type }, true, (sb_op_options){ .without = 1 });
        for (int side = 56, c = 160; side >= 7;
             side /= 2, c *= 2) /* ConvNeXt-atto, 16 images of 224 pixels */
            add(&ordinary, (sb_shape){ 16, side, side, c, type }, true, (sb_op_options){ .timed = true });
    }
    sb_case_add_refusal("gelu: of bytes", refuse);
}
