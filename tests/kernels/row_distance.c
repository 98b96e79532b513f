/* row_distance.c: distances of rows. Sums are f64's; a gradient is a difference and a product. */
#include "kernels/op/row_distance.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

/* A term is a difference, twice, and a product: with the sum, columns + 3 roundings. */
static void forward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->xs[0]), columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < rows; i++) {
        r->y[i] = 0;
        for (size_t k = i * columns; k < (i + 1) * columns; k++)
            r->y[i] += pow(r->x[0][k] - r->x[1][k], 2);
        if (r->y_bound)
            r->y_bound[i] = (double)(columns + 3) * 0x1p-53 * r->y[i];
    }
}

static void backward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        for (int k = 0; k < 2; k++)
            if (r->dx[k]) {
                r->dx[k][i] = 2 * r->dy[i / (size_t)r->xs[0].c] * (r->x[k][i] - r->x[1 - k][i]);
                r->dx_bound[k][i] = SB_UNIT_F32 * fabs(r->dx[k][i]) * (1 + SB_UNIT_F32);
            }
}

/* Every other row is the other's, to the bit. */
static void fill_equal(sb_trial *t, sb_reference *r)
{
    size_t columns = (size_t)r->xs[0].c;
    for (int i = 0; i < 2; i++)
        sb_fill_normal(t, sb_array_x(t, i), 0, 1);
    for (size_t k = 0; k < sb_shape_elements(&r->xs[0]); k++)
        if (k / columns % 2 == 0)
            r->x[1][k] = r->x[0][k];
}

static const sb_op_test row_distance = { .op = SB_OP_ROW_DISTANCE, .forward = forward, .backward = backward };
static const sb_op_test equal = {
    .op = SB_OP_ROW_DISTANCE, .fill = fill_equal, .forward = forward, .backward = backward
};

static void add(const sb_op_test *test, sb_shape x, sb_op_options options)
{
    static const char *const no_dx[] = { "", ", no dx0", ", no dx1" };
    sb_op_case_add(test, NULL, (sb_shape[]){ x, x }, options, "[%d, %d, %d, %d]%s%s", x.n, x.h, x.w, x.c,
                   test == &equal ? ", equal rows" : "", no_dx[options.no_dx]);
}

static int refuse(sb_device *d)
{
    sb_shape y;
    return (void)d,
           sb_op_row_distance.shape(NULL, (sb_shape[]){ { 2, 1, 1, 3, SB_F32 }, { 3, 1, 1, 2, SB_F32 } }, &y);
}

void sb_cases_row_distance(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 33, 31 }, { 255, 1 }, { 257, 255 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        add(&row_distance, (sb_shape){ sizes[i][0], 1, 1, sizes[i][1], SB_F32 }, (sb_op_options){ 0 });
    add(&row_distance, (sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_op_options){ 0 });
    for (unsigned no_dx = 1; no_dx < 3; no_dx++)
        add(&row_distance, (sb_shape){ 31, 1, 1, 33, SB_F32 }, (sb_op_options){ .no_dx = no_dx });
    add(&equal, (sb_shape){ 33, 1, 1, 31, SB_F32 }, (sb_op_options){ 0 });
    add(&row_distance, (sb_shape){ 4096, 1, 1, 2048, SB_F32 }, (sb_op_options){ .timed = true });
    sb_case_add_refusal("row_distance: of two shapes", refuse);
}
