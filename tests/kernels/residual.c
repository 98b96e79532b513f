/* residual.c: y = x1 + gamma x0: a product and a sum. dx1 is dy; dx0 is one product. */
#include "kernels/op/residual.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static double gamma_of(const sb_reference *r, size_t i)
{
    return r->w[0] ? r->w[0][i % (size_t)r->xs[0].c] : 1;
}

static void forward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        const double scaled = gamma_of(r, i) * r->x[0][i];
        r->y[i] = r->x[1][i] + scaled;
        if (r->y_bound)
            r->y_bound[i] = SB_UNIT_F32 * (fabs(scaled) + fabs(r->y[i])) * (1 + 4 * SB_UNIT_F32);
    }
}

static void backward(sb_reference *r)
{
    const size_t c = (size_t)r->xs[0].c, rows = sb_shape_rows(&r->xs[0]);
    for (size_t i = 0; i < rows * c; i++) {
        if (r->dx[0]) {
            r->dx[0][i] = gamma_of(r, i) * r->dy[i];
            r->dx_bound[0][i] = r->w[0] ? SB_UNIT_F32 * fabs(r->dx[0][i]) * (1 + 4 * SB_UNIT_F32) : 0;
        }
        if (r->dx[1])
            r->dx[1][i] = r->dy[i];
    }
    for (size_t k = 0; k < c && r->dw[0]; k++) {
        double terms = 0;
        r->dw[0][k] = 0;
        for (size_t i = k; i < rows * c; i += c) {
            r->dw[0][k] += r->dy[i] * r->x[0][i];
            terms += fabs(r->dy[i] * r->x[0][i]);
        }
        r->dw_bound[0][k] = sb_growth((double)rows) * SB_UNIT_F32 * terms;
    }
}

static void fill_nan(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    sb_fill_normal(t, sb_array_x(t, 1), 0, 1);
    sb_fill_normal(t, sb_array_w(t, 0), 0, 1);
    r->x[0][0] = NAN;
    r->x[1][sb_array_x(t, 1)->count - 1] = NAN;
}

static const sb_op_test ordinary = {
    .op = SB_OP_RESIDUAL, .how_bytes = sizeof(sb_residual_how), .forward = forward, .backward = backward
};
static const sb_op_test nan_inside = { .op = SB_OP_RESIDUAL,
                                       .how_bytes = sizeof(sb_residual_how),
                                       .fill = fill_nan,
                                       .forward = forward,
                                       .backward = backward };

static void add(const sb_op_test *test, sb_shape x, bool scaled, sb_op_options options)
{
    static const char *const no_dx[] = { "", " no dx0", " no dx1", " no dx" };
    const sb_residual_how how = { .scaled = scaled, .initial = 1e-6f };
    options.nan = test == &nan_inside;
    sb_op_case_add(test, &how, (sb_shape[]){ x, x }, options, "%s [%d, %d, %d, %d]%s%s%s",
                   sb_type_name(x.type), x.n, x.h, x.w, x.c, scaled ? " gamma" : "",
                   options.nan ? " NaN" : "", no_dx[options.no_dx]);
}

static int refuse(sb_shape r)
{
    sb_shape y;
    return sb_op_residual.shape(&(sb_residual_how){ 0 }, (sb_shape[]){ { 4, 3, 3, 8, SB_F32 }, r }, &y);
}

static int refuse_shape(sb_device *d) { return (void)d, refuse((sb_shape){ 4, 3, 3, 1, SB_F32 }); }
static int refuse_type(sb_device *d) { return (void)d, refuse((sb_shape){ 4, 3, 3, 8, SB_BF16 }); }
static int refuse_none(sb_device *d) { return (void)d, refuse((sb_shape){ 0 }); }

void sb_cases_residual(void)
{
    const int sizes[][2] = { { 1, 1 },    { 1, 257 },  { 31, 33 }, { 33, 31 }, { 255, 1 }, { 257, 15 },
                             { 2, 1025 }, { 65, 255 }, { 1, 8 },   { 31, 12 }, { 33, 40 }, { 257, 264 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (int scaled = 0; scaled < 2; scaled++) {
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                if (sb_case_has(type, i + (size_t)scaled))
                    add(&ordinary, (sb_shape){ sizes[i][0], 1, 1, sizes[i][1], type }, scaled,
                        (sb_op_options){ 0 });
            for (unsigned no_dx = 1; no_dx < 4; no_dx++)
                add(&ordinary, (sb_shape){ 3, 7, 5, 33, type }, scaled, (sb_op_options){ .no_dx = no_dx });
            add(&nan_inside, (sb_shape){ 3, 7, 5, 33, type }, scaled, (sb_op_options){ 0 });
        }
        for (int side = 56, c = 40; side >= 7; side /= 2, c *= 2) /* ConvNeXt-atto, 16 images of 224 pixels */
            add(&ordinary, (sb_shape){ 16, side, side, c, type }, true, (sb_op_options){ .timed = true });
    }
    sb_case_add_refusal("residual: of two shapes", refuse_shape);
    sb_case_add_refusal("residual: of two types", refuse_type);
    sb_case_add_refusal("residual: of nothing", refuse_none);
}
