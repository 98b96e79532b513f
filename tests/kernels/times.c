/* times.c: a product is rounded once; a sum of products is f64's, and is rounded once, too. */
#include "kernels/op/times.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void forward(sb_reference *r)
{
    const size_t span = sb_times_span(r->xs);
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        r->y[i] = r->x[0][i] * r->x[1][i / span];
        if (r->y_bound)
            r->y_bound[i] = 0;
    }
}

/* A rounding to f32 comes before what was held is added. */
static void backward(sb_reference *r)
{
    const size_t span = sb_times_span(r->xs), others = sb_shape_elements(&r->xs[1]);
    for (size_t i = 0; r->dx[0] && i < sb_shape_elements(&r->ys); i++) {
        r->dx[0][i] = r->dy[i] * r->x[1][i / span];
        r->dx_bound[0][i] = SB_UNIT_F32 * fabs(r->dx[0][i]);
    }
    for (size_t j = 0; r->dx[1] && j < others; j++) {
        double sum = 0, size = 0;
        for (size_t i = j * span; i < (j + 1) * span; i++) {
            sum += r->dy[i] * r->x[0][i];
            size += fabs(r->dy[i] * r->x[0][i]);
        }
        r->dx[1][j] = sum;
        r->dx_bound[1][j] = SB_UNIT_F32 * fabs(sum) + sb_growth((double)span) * 0x1p-53 * size;
    }
}

static const sb_op_test times = { .op = SB_OP_TIMES, .forward = forward, .backward = backward };

static void add(sb_shape x, sb_shape other, sb_op_options options)
{
    static const char *const no_dx[] = { "", ", no dx0", ", no dx1" };
    sb_op_case_add(&times, NULL, (sb_shape[]){ x, other }, options, "[%d, %d, %d, %d] [%d, %d, %d, %d]%s",
                   x.n, x.h, x.w, x.c, other.n, other.h, other.w, other.c, no_dx[options.no_dx]);
}

static int refused(sb_shape other)
{
    sb_shape y;
    return sb_op_times.shape(NULL, (sb_shape[]){ { 2, 1, 1, 3, SB_F32 }, other }, &y);
}

static int refuse_shapes(sb_device *d) { return (void)d, refused((sb_shape){ 3, 1, 1, 2, SB_F32 }); }
static int refuse_rows(sb_device *d) { return (void)d, refused((sb_shape){ 3, 1, 1, 1, SB_F32 }); }
static int refuse_row(sb_device *d) { return (void)d, refused((sb_shape){ 1, 1, 1, 3, SB_F32 }); }
static int refuse_nothing(sb_device *d) { return (void)d, refused((sb_shape){ 0 }); }

void sb_cases_times(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 257, 255 } };
    const sb_shape one = { 1, 1, 1, 1, SB_F32 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const sb_shape x = { sizes[i][0], 1, 1, sizes[i][1], SB_F32 }, column = { x.n, 1, 1, 1, SB_F32 };
        for (unsigned no_dx = 0; no_dx < 3; no_dx++) {
            add(x, x, (sb_op_options){ .no_dx = no_dx });
            if (x.c > 1)
                add(x, one, (sb_op_options){ .no_dx = no_dx });
            if (x.c > 1 && x.n > 1)
                add(x, column, (sb_op_options){ .no_dx = no_dx });
        }
    }
    const sb_shape places = { 3, 2, 5, 33, SB_F32 };
    add(places, places, (sb_op_options){ 0 });
    add(places, (sb_shape){ 3, 2, 5, 1, SB_F32 }, (sb_op_options){ 0 });
    add(places, one, (sb_op_options){ 0 });
    const sb_shape large = { 4096, 1, 1, 2048, SB_F32 };
    add(large, large, (sb_op_options){ .timed = true });
    add(large, (sb_shape){ 4096, 1, 1, 1, SB_F32 }, (sb_op_options){ .timed = true });
    add((sb_shape){ 512, 1, 1, 128, SB_F32 }, one, (sb_op_options){ .timed = true });
    sb_case_add_refusal("times: of two shapes", refuse_shapes);
    sb_case_add_refusal("times: by a value for each of other rows", refuse_rows);
    sb_case_add_refusal("times: by a row", refuse_row);
    sb_case_add_refusal("times: by nothing", refuse_nothing);
}
