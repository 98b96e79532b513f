/* times.c: a product is rounded once. */
#include "kernels/op/times.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void forward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        r->y[i] = r->x[0][i] * r->x[1][i];
        if (r->y_bound)
            r->y_bound[i] = 0;
    }
}

static void backward(sb_reference *r)
{
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; r->dx[k] && i < sb_shape_elements(&r->ys); i++) {
            r->dx[k][i] = r->dy[i] * r->x[1 - k][i];
            r->dx_bound[k][i] = SB_UNIT_F32 * fabs(r->dx[k][i]); /* before what was held is added */
        }
}

static const sb_op_test times = { .op = SB_OP_TIMES, .forward = forward, .backward = backward };

static void add(sb_shape x, sb_op_options options)
{
    static const char *const no_dx[] = { "", ", no dx0", ", no dx1" };
    sb_op_case_add(&times, NULL, (sb_shape[]){ x, x }, options, "[%d, %d, %d, %d]%s", x.n, x.h, x.w, x.c,
                   no_dx[options.no_dx]);
}

static int refuse_shapes(sb_device *d)
{
    sb_shape y;
    return (void)d,
           sb_op_times.shape(NULL, (sb_shape[]){ { 2, 1, 1, 3, SB_F32 }, { 3, 1, 1, 2, SB_F32 } }, &y);
}

void sb_cases_times(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 257, 255 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (unsigned no_dx = 0; no_dx < 3; no_dx++)
            add((sb_shape){ sizes[i][0], 1, 1, sizes[i][1], SB_F32 }, (sb_op_options){ .no_dx = no_dx });
    add((sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_op_options){ 0 });
    add((sb_shape){ 4096, 1, 1, 2048, SB_F32 }, (sb_op_options){ .timed = true });
    sb_case_add_refusal("times: of two shapes", refuse_shapes);
}
