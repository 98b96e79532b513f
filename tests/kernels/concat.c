/* concat.c: rows behind rows. Exact. */
#include "kernels/op/concat.h"

#include <limits.h>
#include <string.h>

#include "tests/kernels/op_cases.h"

static void forward(sb_reference *r)
{
    double *y = r->y;
    for (int i = 0; i < 2; i++) {
        memcpy(y, r->x[i], sb_shape_elements(&r->xs[i]) * sizeof *y);
        y += sb_shape_elements(&r->xs[i]);
    }
}

static void backward(sb_reference *r)
{
    const double *dy = r->dy;
    for (int i = 0; i < 2; i++) {
        if (r->dx[i])
            memcpy(r->dx[i], dy, sb_shape_elements(&r->xs[i]) * sizeof *dy);
        dy += sb_shape_elements(&r->xs[i]);
    }
}

static const sb_op_test concat = { .op = SB_OP_CONCAT, .forward = forward, .backward = backward };

static void add(sb_shape a, int rows, sb_op_options options)
{
    sb_shape b = a;
    b.n = rows;
    sb_op_case_add(&concat, NULL, (sb_shape[]){ a, b }, options, "%d and %d rows of [%d, %d, %d]%s", a.n,
                   rows, a.h, a.w, a.c, options.no_dx ? ", no dx0" : "");
}

static int shape_of(int width, int rows)
{
    sb_shape y;
    return sb_op_concat.shape(NULL, (sb_shape[]){ { 4, 1, 1, 4, SB_F32 }, { rows, 1, 1, width, SB_F32 } },
                              &y);
}

static int refuse_width(sb_device *d) { return (void)d, shape_of(5, 4); }
static int refuse_none(sb_device *d) { return (void)d, shape_of(4, 0); }
static int refuse_many(sb_device *d) { return (void)d, shape_of(4, INT_MAX); }

void sb_cases_concat(void)
{
    const int sizes[][3] = { { 1, 1, 1 },     { 1, 255, 31 },  { 255, 1, 33 },
                             { 31, 33, 257 }, { 33, 31, 255 }, { 257, 31, 128 } }; /* rows, rows, columns */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        add((sb_shape){ sizes[i][0], 1, 1, sizes[i][2], SB_F32 }, sizes[i][1], (sb_op_options){ 0 });
    add((sb_shape){ 3, 2, 5, 33, SB_F32 }, 2, (sb_op_options){ 0 });
    add((sb_shape){ 31, 1, 1, 33, SB_F32 }, 7, (sb_op_options){ .no_dx = true });
    add((sb_shape){ 2048, 1, 1, 2048, SB_F32 }, 2048, (sb_op_options){ .timed = true });
    sb_case_add_refusal("concat: of two widths", refuse_width);
    sb_case_add_refusal("concat: nothing behind", refuse_none);
    sb_case_add_refusal("concat: more rows than are counted", refuse_many);
}
