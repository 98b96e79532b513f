/* unscale.c: y = factor x, one product, and whether all of it is finite: exact. */
#include "kernels/op/unscale.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void forward(sb_reference *r)
{
    const double factor = (double)((const sb_unscale_how *)r->how)->factor;
    *r->aux = 0;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        r->y[i] = factor * r->x[0][i];
        if (!isfinite(r->y[i]))
            *r->aux = 1;
    }
}

/* One value, the last or one in the middle, is not finite. */
static void fill_nan(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    r->x[0][sb_shape_elements(&r->xs[0]) - 1] = NAN;
}
static void fill_infinite(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    r->x[0][sb_shape_elements(&r->xs[0]) / 2] = -INFINITY;
}

/* As large as f32 has them, and as small. */
static void fill_far(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1e-37);
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i += 2)
        r->x[0][i] = i % 4 ? 3e38 : -3e38;
}

static const sb_op_test of_any = { .op = SB_OP_UNSCALE,
                                   .how_bytes = sizeof(sb_unscale_how),
                                   .forward = forward };
static const sb_op_test of_nan = {
    .op = SB_OP_UNSCALE, .how_bytes = sizeof(sb_unscale_how), .fill = fill_nan, .forward = forward
};
static const sb_op_test of_infinity = {
    .op = SB_OP_UNSCALE, .how_bytes = sizeof(sb_unscale_how), .fill = fill_infinite, .forward = forward
};
static const sb_op_test of_far = {
    .op = SB_OP_UNSCALE, .how_bytes = sizeof(sb_unscale_how), .fill = fill_far, .forward = forward
};

static const struct {
    const char *name;
    bool nan;
    const sb_op_test *test;
} tests[] = { { "", false, &of_any },
              { ", NaN", true, &of_nan },
              { ", infinity", true, &of_infinity },
              { ", far", false, &of_far } };

static int refuse(sb_device *d)
{
    sb_shape y;
    return (void)d, sb_op_unscale.shape(&(sb_unscale_how){ 1 }, &(sb_shape){ 4, 1, 1, 4, SB_F16 }, &y);
}

void sb_cases_unscale(void)
{
    const int sizes[] = { 1, 33, 257, 70001 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof tests / sizeof *tests; k++)
            for (unsigned in_place = 0; in_place < 2; in_place++) {
                const sb_unscale_how how = { i % 2 ? 0x1p-16f : 1 };
                sb_op_case_add(tests[k].test, &how, &(sb_shape){ 1, 1, 1, sizes[i], SB_F32 },
                               (sb_op_options){ .nan = tests[k].nan, .in_place = in_place }, "[%d] by %g%s%s",
                               sizes[i], (double)how.factor, tests[k].name, in_place ? ", over x" : "");
            }
    sb_op_case_add(&of_any, &(sb_unscale_how){ 0x1p-16f }, &(sb_shape){ 1, 1, 1, 11 << 20, SB_F32 },
                   (sb_op_options){ .timed = true }, "[11534336]");
    sb_case_add_refusal("unscale: of f16", refuse);
}
