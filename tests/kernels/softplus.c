/* softplus.c: from -100 to 100, and -INFINITY; few roundings, each relative. */
#include "kernels/op/softplus.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void forward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        double x = r->x[0][i];
        r->y[i] = x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
        if (r->y_bound)
            r->y_bound[i] = sb_growth(1) * SB_UNIT_F32 * r->y[i];
    }
}

static void backward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        r->dx[0][i] = r->dy[i] / (1 + exp(-r->x[0][i]));
        r->dx_bound[0][i] = sb_growth(1) * SB_UNIT_F32 * fabs(r->dx[0][i]) +
                            0x1p-149 * fabs(r->dy[i]); /* where f32 has no more digits of the sigmoid */
    }
}

/* Half of them near 0. */
static void fill(sb_trial *t, sb_reference *r)
{
    sb_fill_uniform(t, &t->arrays[0], -100, 100);
    for (size_t i = 1; i < t->arrays[0].count; i += 2)
        r->x[0][i] /= 32;
}

static void fill_infinite(sb_trial *t, sb_reference *r)
{
    fill(t, r);
    r->x[0][0] = -INFINITY;
}

static const sb_op_test ordinary = {
    .op = SB_OP_SOFTPLUS, .fill = fill, .forward = forward, .backward = backward
};
static const sb_op_test infinite = {
    .op = SB_OP_SOFTPLUS, .fill = fill_infinite, .forward = forward, .backward = backward
};

void sb_cases_softplus(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 33, 31 }, { 255, 1 }, { 257, 255 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sb_shape x = { sizes[i][0], 1, 1, sizes[i][1], SB_F32 };
        sb_op_case_add(&ordinary, NULL, &x, (sb_op_options){ 0 }, "[%d, %d]", x.n, x.c);
        sb_op_case_add(&infinite, NULL, &x, (sb_op_options){ 0 }, "[%d, %d], -infinity", x.n, x.c);
    }
    sb_op_case_add(&ordinary, NULL, &(sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_op_options){ 0 },
                   "[3, 2, 5, 33]");
    sb_op_case_add(&ordinary, NULL, &(sb_shape){ 4096, 1, 1, 2048, SB_F32 }, (sb_op_options){ .timed = true },
                   "[4096, 2048]");
}
