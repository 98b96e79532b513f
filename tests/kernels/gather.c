/* gather.c: rows by number. Exact, but for the gradient of rows that come more than once: a sum in f64. */
#include "kernels/op/gather.h"

#include <math.h>
#include <string.h>

#include "tests/kernels/op_cases.h"

static size_t width(const sb_reference *r) { return sb_shape_elements(&r->xs[1]) / (size_t)r->xs[1].n; }

/* Any numbers: where there are more than rows, some come more than once. */
static void fill(sb_trial *t, sb_reference *r)
{
    for (int i = 0; i < r->xs[0].n; i++)
        r->x[0][i] = sb_random_below(&t->random, (uint32_t)r->xs[1].n);
    sb_fill_normal(t, sb_array_x(t, 1), 0, 1);
}

/* All but one of one row: the sum with the most terms. */
static void fill_one(sb_trial *t, sb_reference *r)
{
    fill(t, r);
    for (int i = 0; i < r->xs[0].n; i++)
        r->x[0][i] = i == r->xs[0].n / 2 ? 0 : r->xs[1].n - 1;
}

static void forward(sb_reference *r)
{
    for (int i = 0; i < r->ys.n; i++)
        memcpy(r->y + (size_t)i * width(r), r->x[1] + (size_t)r->x[0][i] * width(r),
               width(r) * sizeof(double));
}

/* One term is exact; of more, each is rounded into the sum. */
static void backward(sb_reference *r)
{
    double terms = r->ys.n;
    memset(r->dx[1], 0, sb_shape_elements(&r->xs[1]) * sizeof(double));
    for (int i = 0; i < r->ys.n; i++)
        for (size_t k = 0; k < width(r); k++) {
            size_t to = (size_t)r->x[0][i] * width(r) + k;
            double term = r->dy[(size_t)i * width(r) + k];
            r->dx_bound[1][to] += r->dx[1][to] == 0 ? 0 : terms * 0x1p-53 * fabs(term);
            r->dx[1][to] += term;
        }
}

static const sb_op_test gather = {
    .op = SB_OP_GATHER, .fill = fill, .forward = forward, .backward = backward
};
static const sb_op_test repeated = {
    .op = SB_OP_GATHER, .fill = fill_one, .forward = forward, .backward = backward
};

static void add(const sb_op_test *test, int count, sb_shape x, sb_op_options options)
{
    const sb_shape xs[] = { { count, 1, 1, 1, SB_I32 }, x };
    sb_op_case_add(test, NULL, xs, options, "%d of [%d, %d, %d, %d]%s", count, x.n, x.h, x.w, x.c,
                   test == &repeated ? ", of one row" : "");
}

static int shape_of(sb_shape index, sb_shape x)
{
    sb_shape y;
    return sb_op_gather.shape(NULL, (const sb_shape[]){ index, x }, &y);
}

static int refuse_reals(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 4, 1, 1, 1, SB_F32 }, (sb_shape){ 4, 1, 1, 4, SB_F32 });
}
static int refuse_pairs(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 4, 1, 1, 2, SB_I32 }, (sb_shape){ 4, 1, 1, 4, SB_F32 });
}
static int refuse_numbers(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 4, 1, 1, 1, SB_I32 }, (sb_shape){ 4, 1, 1, 4, SB_I32 });
}

void sb_cases_gather(void)
{
    const int sizes[][3] = {
        { 1, 1, 1 },    { 1, 31, 33 },   { 31, 2, 1 },   { 33, 257, 255 },
        { 257, 33, 3 }, { 66, 66, 128 }, { 600, 31, 7 }, { 255, 1000, 64 }
    }; /* m, n, c */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int one = 0; one < 2; one++)
            add(one ? &repeated : &gather, sizes[i][0], (sb_shape){ sizes[i][1], 1, 1, sizes[i][2], SB_F32 },
                (sb_op_options){ 0 });
    add(&gather, 7, (sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_op_options){ 0 });
    add(&gather, 512, (sb_shape){ 512, 1, 1, 2048, SB_F32 }, (sb_op_options){ .timed = true });
    sb_case_add_refusal("gather: by numbers in f32", refuse_reals);
    sb_case_add_refusal("gather: by pairs of numbers", refuse_pairs);
    sb_case_add_refusal("gather: of rows in i32", refuse_numbers);
}
