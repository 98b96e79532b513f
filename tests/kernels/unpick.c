/* unpick.c: cells in their map again. Copies, which are exact, and the token's gradient. */
#include "kernels/op/unpick.h"

#include <math.h>
#include <string.h>

#include "tests/kernels/op_cases.h"

/* Of each image other cells, in any order. */
static void fill(sb_trial *t, sb_reference *r)
{
    const sb_unpick_how *how = r->how;
    const int pixels = how->side * how->stride, given = r->xs[1].w,
              cells = r->xs[2].h / pixels * (r->xs[2].w / pixels);
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    sb_fill_uniform(t, sb_array_x(t, 2), 0, 256);
    if (how->token)
        sb_fill_normal(t, sb_array_w(t, 0), 0, 1);
    for (int n = 0; n < r->xs[0].n; n++) {
        const int step = cells > 4 && cells % 3 != 0 ? 3 : 1; /* without a common divisor */
        const uint32_t first = sb_random_below(&t->random, (uint32_t)cells);
        for (int k = 0; k < given; k++)
            r->x[1][n * given + k] = ((int)first + k * step) % cells;
    }
}

/* The row of x that stands at row `row` of image n of y; -1: none. */
static long row_of(const sb_reference *r, int n, int row)
{
    const int side = ((const sb_unpick_how *)r->how)->side, given = r->xs[1].w, y = row / r->ys.w,
              x = row % r->ys.w, cell = y / side * (r->ys.w / side) + x / side;
    for (int k = 0; k < given; k++)
        if ((int)r->x[1][n * given + k] == cell)
            return (((long)n * side + y % side) * given + k) * side + x % side;
    return -1;
}

static void forward(sb_reference *r)
{
    const int rows = r->ys.h * r->ys.w;
    const size_t width = (size_t)r->ys.c;
    for (int n = 0; n < r->ys.n; n++)
        for (int row = 0; row < rows; row++) {
            const long from = row_of(r, n, row);
            double *to = r->y + (size_t)(n * rows + row) * width;
            for (size_t c = 0; c < width; c++)
                to[c] = from >= 0 ? r->x[0][(size_t)from * width + c] : r->w[0] ? r->w[0][c] : 0;
        }
}

static void backward(sb_reference *r)
{
    const int rows = r->ys.h * r->ys.w;
    const size_t width = (size_t)r->ys.c;
    const bool token = ((const sb_unpick_how *)r->how)->token;
    memset(r->dx[0], 0, sb_shape_elements(&r->xs[0]) * sizeof(double));
    for (size_t c = 0; token && c < width; c++)
        r->dw[0][c] = r->dw_bound[0][c] = 0;
    for (int n = 0; n < r->ys.n; n++)
        for (int row = 0; row < rows; row++) {
            const long to = row_of(r, n, row);
            const double *dy = r->dy + (size_t)(n * rows + row) * width;
            for (size_t c = 0; c < width; c++)
                if (to >= 0) {
                    r->dx[0][(size_t)to * width + c] = dy[c];
                } else if (token) {
                    r->dw[0][c] += dy[c];
                    r->dw_bound[0][c] += sb_growth(r->ys.n * rows) * SB_UNIT_F32 * fabs(dy[c]);
                }
        }
}

static const sb_op_test test = { .op = SB_OP_UNPICK,
                                 .how_bytes = sizeof(sb_unpick_how),
                                 .fill = fill,
                                 .forward = forward,
                                 .backward = backward };

/* A map of h x w cells, of which each image has `given`. */
static void add(int n, int h, int w, int c, int given, sb_unpick_how how, sb_type type, bool timed)
{
    const int pixels = how.side * how.stride;
    const sb_shape xs[] = { { n, how.side, given * how.side, c, type },
                            { n, 1, given, 1, SB_I32 },
                            { n, h * pixels, w * pixels, 1, SB_U8 } };
    sb_op_case_add(&test, &how, xs, (sb_op_options){ .timed = timed },
                   "%s %d of [%d, %d, %d] cells of %d x %d, %d pixels each, %d channels%s",
                   sb_type_name(type), given, n, h, w, how.side, how.side, how.stride, c,
                   how.token ? ", a token" : "");
}

static int shape_of(sb_shape x, sb_shape pixels, int side, int stride)
{
    sb_shape y;
    return sb_op_unpick.shape(&(sb_unpick_how){ .side = side, .stride = stride },
                              (sb_shape[]){ x, { 2, 1, 3, 1, SB_I32 }, pixels }, &y);
}

static int refuse_bytes(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 2, 6, 4, SB_U8 }, (sb_shape){ 2, 8, 8, 3, SB_U8 }, 2, 2);
}
static int refuse_form(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 6, 2, 4, SB_F32 }, (sb_shape){ 2, 8, 8, 3, SB_U8 }, 2, 2);
}
static int refuse_images(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 2, 6, 4, SB_F32 }, (sb_shape){ 3, 8, 8, 3, SB_U8 }, 2, 2);
}
static int refuse_cut(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 2, 6, 4, SB_F32 }, (sb_shape){ 2, 8, 10, 3, SB_U8 }, 2, 2);
}
static int refuse_few(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 2, 6, 4, SB_F32 }, (sb_shape){ 2, 8, 8, 3, SB_U8 }, 2, 4);
}
static int refuse_stride(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 2, 6, 4, SB_F32 }, (sb_shape){ 2, 8, 8, 3, SB_U8 }, 2, 0);
}

void sb_cases_unpick(void)
{
    /* Images, cells down and across, channels, cells given, side, stride, whether there is a token. */
    const int sizes[][8] = { { 1, 1, 1, 1, 1, 1, 1, 0 },   { 2, 2, 2, 31, 3, 1, 1, 1 },
                             { 31, 1, 2, 5, 1, 2, 1, 1 },  { 2, 7, 7, 33, 12, 1, 2, 0 },
                             { 3, 3, 5, 16, 14, 3, 1, 1 }, { 1, 1, 257, 3, 255, 1, 1, 1 },
                             { 2, 1, 5, 257, 3, 2, 2, 0 }, { 1, 3, 5, 600, 7, 1, 1, 1 },
                             { 3, 3, 2, 1, 2, 11, 1, 0 },  { 2, 2, 1, 255, 1, 8, 1, 1 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            if (sb_case_has(type, i))
                add(s[0], s[1], s[2], s[3], s[4], (sb_unpick_how){ s[5], s[6], s[7] }, type, false);
        }
        add(16, 8, 8, 96, 26, (sb_unpick_how){ 8, 1, false }, type, true);
        add(16, 16, 16, 512, 102, (sb_unpick_how){ 1, 1, true }, type, true);
    }
    sb_case_add_refusal("unpick: of bytes", refuse_bytes);
    sb_case_add_refusal("unpick: of cells on top of each other", refuse_form);
    sb_case_add_refusal("unpick: in the pixels of other images", refuse_images);
    sb_case_add_refusal("unpick: in cells that an edge cuts", refuse_cut);
    sb_case_add_refusal("unpick: of more cells than there are", refuse_few);
    sb_case_add_refusal("unpick: without a stride", refuse_stride);
}
