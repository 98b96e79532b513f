/* square.c: one rounding forward, two backward. */
#include "kernels/op/square.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void forward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        r->y[i] = r->x[0][i] * r->x[0][i];
        if (r->y_bound)
            r->y_bound[i] = SB_UNIT_F32 * r->y[i];
    }
}

static void backward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        r->dx[0][i] = 2 * r->x[0][i] * r->dy[i];
        r->dx_bound[0][i] = SB_UNIT_F32 * fabs(r->dx[0][i]);
    }
}

static const sb_op_test square = { .op = SB_OP_SQUARE, .forward = forward, .backward = backward };

void sb_cases_square(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 255, 1 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sb_shape x = { sizes[i][0], 1, 1, sizes[i][1], SB_F32 };
        sb_op_case_add(&square, NULL, &x, (sb_op_options){ 0 }, "[%d, %d]", x.n, x.c);
    }
}
