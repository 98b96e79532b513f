/* queries.c: a token and positions of cells. */
#include "kernels/op/queries.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

/* Any cells of the grid. */
static void fill(sb_trial *t, sb_reference *r)
{
    const int side = ((const sb_queries_how *)r->how)->side;
    const uint32_t cells = (uint32_t)(r->xs[1].h / side * (r->xs[1].w / side));
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = sb_random_below(&t->random, cells);
    r->x[0][0] = cells - 1;
    sb_fill_uniform(t, sb_array_x(t, 1), 0, 256);
    sb_fill_normal(t, sb_array_w(t, 0), 0, 1);
}

/* Of the channels, a quarter each: sines and cosines of the column, sines and cosines of the row. */
static double position(int width, int row, int column, int c)
{
    const int quarter = width / 4, place = c < 2 * quarter ? column : row;
    const double angle = place / pow(10000, (double)(c % quarter) / quarter);
    return c / quarter % 2 == 0 ? sin(angle) : cos(angle);
}

static void forward(sb_reference *r)
{
    const sb_queries_how *how = r->how;
    const int columns = r->xs[1].w / how->side;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        const int cell = (int)r->x[0][i / (size_t)how->width], c = (int)(i % (size_t)how->width);
        const double token = r->w[0][c];
        r->y[i] = token + position(how->width, cell / columns, cell % columns, c);
        if (r->y_bound)
            r->y_bound[i] = 2 * SB_UNIT_F32 * (fabs(token) + 1);
    }
}

static void backward(sb_reference *r)
{
    const size_t width = (size_t)r->ys.c, rows = sb_shape_rows(&r->ys);
    for (size_t c = 0; c < width; c++) {
        double sum = 0, magnitude = 0;
        for (size_t row = 0; row < rows; row++) {
            sum += r->dy[row * width + c];
            magnitude += fabs(r->dy[row * width + c]);
        }
        r->dw[0][c] = sum;
        r->dw_bound[0][c] = sb_growth((double)rows) * SB_UNIT_F32 * magnitude;
    }
}

static const sb_op_test test = { .op = SB_OP_QUERIES,
                                 .how_bytes = sizeof(sb_queries_how),
                                 .fill = fill,
                                 .forward = forward,
                                 .backward = backward };

static void add(int images, int h, int w, int count, sb_queries_how how, bool timed)
{
    const sb_shape xs[] = { { images, 1, count, 1, SB_I32 }, { images, h, w, 1, SB_U8 } };
    sb_op_case_add(&test, &how, xs, (sb_op_options){ .timed = timed },
                   "%s [%d, %d, %d] of %d x %d pixels, cells of %d", sb_type_name(how.type), images, count,
                   how.width, h, w, how.side);
}

static int shape_of(sb_shape cells, sb_queries_how how)
{
    sb_shape y;
    return sb_op_queries.shape(&how, (sb_shape[]){ cells, { 2, 32, 32, 3, SB_U8 } }, &y);
}

static int refuse_reals(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 1, 1, 3, SB_F32 }, (sb_queries_how){ 16, 8, SB_F32 });
}
static int refuse_side(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 1, 3, 1, SB_I32 }, (sb_queries_how){ 33, 8, SB_F32 });
}
static int refuse_width(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 1, 3, 1, SB_I32 }, (sb_queries_how){ 16, 6, SB_F32 });
}

void sb_cases_queries(void)
{
    /* Images, pixels, cells named; side of a cell, channels. */
    const int sizes[][6] = { { 1, 1, 1, 1, 1, 4 },      { 2, 33, 31, 31, 4, 12 },
                             { 1, 50, 31, 33, 3, 32 },  { 31, 16, 64, 1, 16, 8 },
                             { 2, 64, 64, 255, 4, 20 }, { 1, 1024, 32, 257, 16, 260 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            if (sb_case_has(type, i))
                add(s[0], s[1], s[2], s[3], (sb_queries_how){ s[4], s[5], type }, false);
        }
        add(16, 1024, 1024, 768, (sb_queries_how){ 16, 192, type }, true);
    }
    sb_case_add_refusal("queries: cells by numbers in f32", refuse_reals);
    sb_case_add_refusal("queries: cells larger than the pixels", refuse_side);
    sb_case_add_refusal("queries: of 6 channels", refuse_width);
}
