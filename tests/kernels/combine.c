/* combine.c: y = alpha x0 + beta x1 + constant: two products, two sums. A gradient is one product. */
#include "kernels/op/combine.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void forward(sb_reference *r)
{
    const sb_combine_how *how = r->how;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        double a = how->alpha * r->x[0][i], b = r->x[1] ? how->beta * r->x[1][i] : 0;
        r->y[i] = a + b + how->constant;
        if (r->y_bound)
            r->y_bound[i] = SB_UNIT_F32 * (fabs(a) + fabs(b) + fabs(a + b)) * (1 + 4 * SB_UNIT_F32);
    }
}

static void backward(sb_reference *r)
{
    const sb_combine_how *how = r->how;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        if (r->dx[0])
            r->dx[0][i] = how->alpha * r->dy[i];
        if (r->dx[1])
            r->dx[1][i] = how->beta * r->dy[i];
    }
}

/* A row that logsumexp_pairs found nothing for. */
static void fill_infinite(sb_trial *t, sb_reference *r)
{
    for (int i = 0; i < 2; i++)
        sb_fill_normal(t, &t->arrays[i], 0, 1);
    r->x[0][0] = -INFINITY;
}

static const sb_op_test combine = {
    .op = SB_OP_COMBINE, .how_bytes = sizeof(sb_combine_how), .forward = forward, .backward = backward
};
static const sb_op_test infinite = { .op = SB_OP_COMBINE,
                                     .how_bytes = sizeof(sb_combine_how),
                                     .fill = fill_infinite,
                                     .forward = forward,
                                     .backward = backward };

static void add(const sb_op_test *test, sb_shape x, bool two, sb_combine_how how, sb_op_options options)
{
    static const char *const in_place[] = { "", ", over x0", ", over x1" };
    sb_op_case_add(test, &how, (sb_shape[]){ x, two ? x : (sb_shape){ 0 } }, options,
                   "[%d, %d, %d, %d] %g x0%s + %g%s%s%s", x.n, x.h, x.w, x.c, (double)how.alpha,
                   two ? " + beta x1" : "", (double)how.constant, options.no_dx ? ", no dx0" : "",
                   in_place[options.in_place], test == &infinite ? ", -infinity" : "");
}

static int refuse(sb_device *d)
{
    sb_shape y;
    return (void)d, sb_op_combine.shape(&(sb_combine_how){ 1, 1, 0 },
                                        (sb_shape[]){ { 4, 1, 1, 4, SB_F32 }, { 4, 1, 1, 1, SB_F32 } }, &y);
}

void sb_cases_combine(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 33, 31 }, { 255, 1 }, { 257, 255 } };
    const sb_combine_how hows[] = { { 1, -0.3f, 0 }, { 1, 1, 0 }, { 0.7f, -10, 0.5f } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof hows / sizeof *hows; k++)
            for (int two = 0; two < 2; two++)
                add(&combine, (sb_shape){ sizes[i][0], 1, 1, sizes[i][1], SB_F32 }, two, hows[k],
                    (sb_op_options){ 0 });
    add(&combine, (sb_shape){ 3, 2, 5, 33, SB_F32 }, true, hows[2], (sb_op_options){ 0 });
    add(&combine, (sb_shape){ 31, 1, 1, 33, SB_F32 }, true, hows[2], (sb_op_options){ .no_dx = true });
    for (int over = 0; over < 2; over++)
        for (int two = over; two < 2; two++)
            add(&combine, (sb_shape){ 257, 1, 1, 33, SB_F32 }, two, hows[2],
                (sb_op_options){ .in_place = 1u << over });
    add(&infinite, (sb_shape){ 31, 1, 1, 1, SB_F32 }, true, hows[2],
        (sb_op_options){ .no_differences = true });
    add(&combine, (sb_shape){ 4096, 1, 1, 2048, SB_F32 }, true, hows[0], (sb_op_options){ .timed = true });
    sb_case_add_refusal("combine: of two shapes", refuse);
}
