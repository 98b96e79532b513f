/* row_dot.c: products of rows. Sums are f64's; a gradient is one product. */
#include "kernels/op/row_dot.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void forward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->xs[0]), columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < rows; i++) {
        double magnitude = 0;
        r->y[i] = 0;
        for (size_t k = i * columns; k < (i + 1) * columns; k++) {
            r->y[i] += r->x[0][k] * r->x[1][k];
            magnitude += fabs(r->x[0][k] * r->x[1][k]);
        }
        if (r->y_bound)
            r->y_bound[i] = (double)columns * 0x1p-53 * magnitude;
    }
}

static void backward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        for (int k = 0; k < 2; k++)
            if (r->dx[k])
                r->dx[k][i] = r->dy[i / (size_t)r->xs[0].c] * r->x[1 - k][i];
}

static const sb_op_test row_dot = { .op = SB_OP_ROW_DOT, .forward = forward, .backward = backward };

static void add(sb_shape x, sb_op_options options)
{
    sb_op_case_add(&row_dot, NULL, (sb_shape[]){ x, x }, options, "[%d, %d, %d, %d]%s", x.n, x.h, x.w, x.c,
                   options.no_dx ? ", no dx0" : "");
}

static int refuse(sb_device *d)
{
    sb_shape y;
    return (void)d,
           sb_op_row_dot.shape(NULL, (sb_shape[]){ { 2, 1, 1, 3, SB_F32 }, { 3, 1, 1, 2, SB_F32 } }, &y);
}

void sb_cases_row_dot(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 33, 31 }, { 255, 1 }, { 257, 255 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        add((sb_shape){ sizes[i][0], 1, 1, sizes[i][1], SB_F32 }, (sb_op_options){ 0 });
    add((sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_op_options){ 0 });
    add((sb_shape){ 31, 1, 1, 33, SB_F32 }, (sb_op_options){ .no_dx = true });
    add((sb_shape){ 4096, 1, 1, 2048, SB_F32 }, (sb_op_options){ .timed = true });
    sb_case_add_refusal("row_dot: of two shapes", refuse);
}
