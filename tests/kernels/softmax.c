/* softmax.c: softmax of rows. An exponential is rounded to f32 once, and divided; its exponent is f64's. */
#include "kernels/op/softmax.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

/* Below f32's smallest normal number an exponential loses digits. */
static void forward(sb_reference *r)
{
    const size_t columns = (size_t)r->xs[0].c;
    const double temperature = ((const sb_softmax_how *)r->how)->temperature;
    for (size_t row = 0; row < sb_shape_rows(&r->xs[0]); row++) {
        double most = -INFINITY, sum = 0, *y = r->y + row * columns;
        for (size_t c = 0; c < columns; c++)
            most = fmax(most, y[c] = r->x[0][row * columns + c] - (r->x[1] ? r->x[1][c] : 0));
        for (size_t c = 0; c < columns; c++) {
            double exponent = (y[c] - most) / temperature;
            y[c] = exp(exponent);
            sum += y[c];
            if (r->y_bound) /* a largest value that is rounded to f32 cancels */
                r->y_bound[row * columns + c] = y[c] * (SB_UNIT_F32 +
                                                        0x1p-53 * (4 * fabs(exponent) + (double)columns)) +
                                                0x1p-149;
        }
        for (size_t c = 0; c < columns; c++) {
            y[c] /= sum;
            if (r->y_bound)
                r->y_bound[row * columns + c] = 2 * r->y_bound[row * columns + c] / sum;
        }
    }
}

static void fill_large(sb_trial *t, sb_reference *r)
{
    for (int i = 0; i < 2; i++)
        if (r->x[i])
            sb_fill_normal(t, sb_array_x(t, i), 0, 1e3);
}

/* All logits are one: every share is the same. */
static void fill_equal(sb_trial *t, sb_reference *r)
{
    (void)t;
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; r->x[i] && k < sb_shape_elements(&r->xs[i]); k++)
            r->x[i][k] = 3;
}

static const sb_op_test ordinary = { .op = SB_OP_SOFTMAX,
                                     .how_bytes = sizeof(sb_softmax_how),
                                     .forward = forward };
static const sb_op_test large = {
    .op = SB_OP_SOFTMAX, .how_bytes = sizeof(sb_softmax_how), .fill = fill_large, .forward = forward
};
static const sb_op_test equal = {
    .op = SB_OP_SOFTMAX, .how_bytes = sizeof(sb_softmax_how), .fill = fill_equal, .forward = forward
};

static void add(const sb_op_test *test, sb_shape x, bool offset, float temperature, bool timed)
{
    const sb_shape xs[2] = { x, offset ? (sb_shape){ 1, 1, 1, x.c, SB_F32 } : (sb_shape){ 0 } };
    sb_op_case_add(test, &(sb_softmax_how){ temperature }, xs, (sb_op_options){ .timed = timed },
                   "[%d, %d, %d, %d] at %g%s%s", x.n, x.h, x.w, x.c, (double)temperature,
                   offset ? ", with an offset" : "",
                   test == &large   ? ", large"
                   : test == &equal ? ", equal"
                                    : "");
}

static int shape_of(float temperature, sb_shape offset)
{
    sb_shape y;
    return sb_op_softmax.shape(&(sb_softmax_how){ temperature },
                               (sb_shape[]){ { 3, 1, 1, 4, SB_F32 }, offset }, &y);
}

static int refuse_temperature(sb_device *d) { return (void)d, shape_of(0, (sb_shape){ 0 }); }
static int refuse_rows(sb_device *d) { return (void)d, shape_of(1, (sb_shape){ 3, 1, 1, 4, SB_F32 }); }
static int refuse_columns(sb_device *d) { return (void)d, shape_of(1, (sb_shape){ 1, 1, 1, 3, SB_F32 }); }

void sb_cases_softmax(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 33, 31 }, { 257, 300 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int offset = 0; offset < 2; offset++) {
            const sb_shape x = { sizes[i][0], 1, 1, sizes[i][1], SB_F32 };
            add(&ordinary, x, offset, 1, false);
            add(&ordinary, x, offset, 0.04f, false);
            add(&large, x, offset, 1, false);
            add(&equal, x, offset, 0.04f, false);
        }
    add(&ordinary, (sb_shape){ 3, 2, 5, 33, SB_F32 }, true, 0.04f, false);
    add(&ordinary, (sb_shape){ 128, 1, 1, 65536, SB_F32 }, true, 0.04f, true);
    sb_case_add_refusal("softmax: at temperature 0", refuse_temperature);
    sb_case_add_refusal("softmax: an offset for each row", refuse_rows);
    sb_case_add_refusal("softmax: an offset of other columns", refuse_columns);
}
