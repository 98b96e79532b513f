/* scatter.c: rows put in their places. Exact: no bound. */
#include "kernels/op/scatter.h"

#include <string.h>

#include "tests/kernels/op_cases.h"

/* Numbers of any rows, some more than once; the last of them all is the first row, too. */
static void fill(sb_trial *t, sb_reference *r)
{
    for (int i = 0; i < r->xs[0].n; i++)
        r->x[0][i] = sb_random_below(&t->random, (uint32_t)r->ys.n);
    r->x[0][r->xs[0].n - 1] = r->x[0][0];
    sb_fill_normal(t, sb_array_x(t, 1), 0, 1);
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++)
        r->y[i] = 2 * (double)sb_random_uniform(&t->random) - 1;
}

static void forward(sb_reference *r)
{
    size_t width = sb_shape_elements(&r->xs[1]) / (size_t)r->xs[1].n;
    for (int i = 0; i < r->xs[0].n; i++)
        memcpy(r->y + (size_t)r->x[0][i] * width, r->x[1] + (size_t)i * width, width * sizeof(double));
}

static const sb_op_test scatter = { .op = SB_OP_SCATTER,
                                    .updates = true,
                                    .how_bytes = sizeof(sb_scatter_how),
                                    .fill = fill,
                                    .forward = forward };

static void add(int rows, sb_shape x, sb_op_options options)
{
    const sb_shape xs[] = { { x.n, 1, 1, 1, SB_I32 }, x };
    sb_op_case_add(&scatter, &(sb_scatter_how){ rows }, xs, options, "[%d, %d, %d, %d] into %d", x.n, x.h,
                   x.w, x.c, rows);
}

static int shape_of(int rows, int count, sb_type type)
{
    sb_shape y;
    const sb_shape xs[] = { { count, 1, 1, 1, SB_I32 }, { 4, 1, 1, 4, type } };
    return sb_op_scatter.shape(&(sb_scatter_how){ rows }, xs, &y);
}

static int refuse_more(sb_device *d) { return (void)d, shape_of(8, 5, SB_F32); }
static int refuse_none(sb_device *d) { return (void)d, shape_of(0, 4, SB_F32); }
static int refuse_bf16(sb_device *d) { return (void)d, shape_of(8, 4, SB_BF16); }

void sb_cases_scatter(void)
{
    const int sizes[][3] = {
        { 1, 1, 1 },    { 1, 31, 33 },   { 31, 2, 1 },   { 33, 257, 255 },
        { 257, 33, 3 }, { 66, 66, 128 }, { 600, 31, 7 }, { 255, 1000, 64 }
    }; /* m, n, c */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        add(sizes[i][1], (sb_shape){ sizes[i][0], 1, 1, sizes[i][2], SB_F32 }, (sb_op_options){ 0 });
    add(3, (sb_shape){ 7, 2, 5, 33, SB_F32 }, (sb_op_options){ 0 });
    add(1024, (sb_shape){ 512, 1, 1, 2048, SB_F32 }, (sb_op_options){ .timed = true });
    sb_case_add_refusal("scatter: more numbers than rows", refuse_more);
    sb_case_add_refusal("scatter: into nothing", refuse_none);
    sb_case_add_refusal("scatter: of bf16", refuse_bf16);
}
