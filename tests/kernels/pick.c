/* pick.c: rows of each image by number, and cells of rows. Copies, which are exact. */
#include "kernels/op/pick.h"

#include <string.h>

#include "tests/kernels/op_cases.h"

/* Of each image other places, in any order. */
static void fill(sb_trial *t, sb_reference *r)
{
    const sb_pick_how *how = r->how;
    const int side = how->side > 1 ? how->side : 1,
              places = r->xs[0].h * r->xs[0].w / (side * side) - how->prefix, taken = r->xs[1].w;
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    for (int n = 0; n < r->xs[0].n; n++) {
        const int step = places > 4 && places % 3 != 0 ? 3 : 1; /* without a common divisor */
        const uint32_t first = sb_random_below(&t->random, (uint32_t)places);
        for (int k = 0; k < taken; k++)
            r->x[1][n * taken + k] = ((int)first + k * step) % places;
    }
}

/* Row r of image n of y is a row of x. */
static size_t row_of(const sb_reference *r, int n, int row)
{
    const sb_pick_how *how = r->how;
    const int prefix = how->prefix, side = how->side, taken = r->xs[1].w, first = n * r->xs[0].h * r->xs[0].w;
    if (side < 2)
        return (size_t)(first + (row < prefix ? row : prefix + (int)r->x[1][n * taken + row - prefix]));
    const int i = row / (taken * side), k = row % (taken * side) / side, j = row % side,
              columns = r->xs[0].w / side, cell = (int)r->x[1][n * taken + k];
    return (size_t)(first + (cell / columns * side + i) * r->xs[0].w + cell % columns * side + j);
}

static void forward(sb_reference *r)
{
    const size_t width = (size_t)r->ys.c;
    for (int n = 0; n < r->ys.n; n++)
        for (int row = 0; row < r->ys.h * r->ys.w; row++)
            memcpy(r->y + (size_t)(n * r->ys.h * r->ys.w + row) * width, r->x[0] + row_of(r, n, row) * width,
                   width * sizeof(double));
}

static void backward(sb_reference *r)
{
    const size_t width = (size_t)r->ys.c;
    memset(r->dx[0], 0, sb_shape_elements(&r->xs[0]) * sizeof(double));
    for (int n = 0; n < r->ys.n; n++)
        for (int row = 0; row < r->ys.h * r->ys.w; row++)
            memcpy(r->dx[0] + row_of(r, n, row) * width,
                   r->dy + (size_t)(n * r->ys.h * r->ys.w + row) * width, width * sizeof(double));
}

static const sb_op_test test = {
    .op = SB_OP_PICK, .how_bytes = sizeof(sb_pick_how), .fill = fill, .forward = forward, .backward = backward
};

static void add(sb_shape x, int prefix, int side, int taken, sb_op_options options)
{
    const sb_shape xs[] = { x, { x.n, 1, taken, 1, SB_I32 } };
    sb_op_case_add(&test, &(sb_pick_how){ prefix, side }, xs, options,
                   "%s %d of [%d, %d, %d, %d] behind %d, cells of %d", sb_type_name(x.type), taken, x.n, x.h,
                   x.w, x.c, prefix, side);
}

static int shape_of(sb_shape x, sb_shape index, int prefix, int side)
{
    sb_shape y;
    return sb_op_pick.shape(&(sb_pick_how){ prefix, side }, (sb_shape[]){ x, index }, &y);
}

static const sb_shape tokens = { 2, 1, 9, 4, SB_F32 }, map = { 2, 4, 6, 3, SB_F32 };

static int refuse_reals(sb_device *d)
{
    return (void)d, shape_of(tokens, (sb_shape){ 2, 1, 1, 3, SB_F32 }, 1, 0);
}
static int refuse_images(sb_device *d)
{
    return (void)d, shape_of(tokens, (sb_shape){ 3, 1, 3, 1, SB_I32 }, 1, 0);
}
static int refuse_more(sb_device *d)
{
    return (void)d, shape_of(tokens, (sb_shape){ 2, 1, 9, 1, SB_I32 }, 1, 0);
}
static int refuse_prefix(sb_device *d)
{
    return (void)d, shape_of(tokens, (sb_shape){ 2, 1, 3, 1, SB_I32 }, -1, 0);
}
static int refuse_cells(sb_device *d)
{
    return (void)d, shape_of(map, (sb_shape){ 2, 1, 7, 1, SB_I32 }, 0, 2);
}
static int refuse_cut(sb_device *d) { return (void)d, shape_of(map, (sb_shape){ 2, 1, 1, 1, SB_I32 }, 0, 4); }
static int refuse_both(sb_device *d)
{
    return (void)d, shape_of(map, (sb_shape){ 2, 1, 1, 1, SB_I32 }, 1, 2);
}

void sb_cases_pick(void)
{
    /* Images, sides, channels; prefix, places or cells taken; side of a cell. */
    const int sizes[][7] = { { 1, 1, 1, 1, 0, 1, 0 },      { 2, 1, 33, 31, 1, 31, 0 },
                             { 31, 2, 2, 5, 0, 1, 1 },     { 2, 7, 7, 33, 0, 12, 1 },
                             { 3, 1, 50, 16, 5, 45, 0 },   { 1, 1, 257, 3, 2, 255, 0 },
                             { 2, 1, 10, 257, 1, 3, 0 },   { 1, 3, 5, 600, 0, 7, 0 },
                             { 2, 4, 6, 3, 0, 5, 2 },      { 3, 33, 33, 1, 0, 4, 11 },
                             { 1, 64, 32, 257, 0, 1, 32 }, { 2, 6, 9, 31, 0, 6, 3 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            if (sb_case_has(type, i))
                add((sb_shape){ s[0], s[1], s[2], s[3], type }, s[4], s[6], s[5], (sb_op_options){ 0 });
        }
        add((sb_shape){ 16, 64, 64, 192, type }, 0, 1, 1024, (sb_op_options){ .timed = true });
        add((sb_shape){ 16, 64, 64, 96, type }, 0, 8, 26, (sb_op_options){ .timed = true });
    }
    sb_case_add_refusal("pick: by numbers in f32", refuse_reals);
    sb_case_add_refusal("pick: by numbers of other images", refuse_images);
    sb_case_add_refusal("pick: of more places than there are", refuse_more);
    sb_case_add_refusal("pick: -1 tokens in front", refuse_prefix);
    sb_case_add_refusal("pick: of more cells than there are", refuse_cells);
    sb_case_add_refusal("pick: of cells that an edge cuts", refuse_cut);
    sb_case_add_refusal("pick: of cells behind tokens", refuse_both);
}
