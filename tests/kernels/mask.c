/* mask.c: values are copied, so nothing may be off but the sum with what was held. */
#include "kernels/op/mask.h"

#include <math.h>

#include "tests/kernels/places.h"

static const sb_mask_how *how_of(const sb_reference *r) { return r->how; }

static bool left_out(const sb_reference *r, size_t row, size_t column)
{
    return row == column ? how_of(r)->diagonal : r->x[1] && sb_places_meet(r->x[1], row, column);
}

static void forward(sb_reference *r)
{
    const size_t columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        r->y[i] = left_out(r, i / columns, i % columns) ? (double)how_of(r)->value : r->x[0][i];
        if (r->y_bound)
            r->y_bound[i] = 0;
    }
}

static void backward(sb_reference *r)
{
    const size_t columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        r->dx[0][i] = left_out(r, i / columns, i % columns) ? 0 : r->dy[i];
        r->dx_bound[0][i] = 0;
    }
}

static void fill(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    if (r->x[1])
        sb_fill_crowd(t, r->x[1], r->xs[1].n);
}

static const sb_op_test mask = {
    .op = SB_OP_MASK, .how_bytes = sizeof(sb_mask_how), .fill = fill, .forward = forward, .backward = backward
};

static void add(sb_shape x, bool places, sb_mask_how how, bool timed)
{
    sb_shape xs[2] = { x };
    if (places)
        xs[1] = (sb_shape){ x.n * x.h * x.w, 1, 1, 4, SB_I32 };
    sb_op_case_add(&mask, &how, xs,
                   (sb_op_options){ .timed = timed, .no_dx = 2, .no_differences = isinf(how.value) },
                   "[%d, %d, %d, %d]%s%s, value %g", x.n, x.h, x.w, x.c, places ? ", places" : "",
                   how.diagonal ? ", no diagonal" : "", (double)how.value);
}

static int refuse_places(sb_device *d)
{
    sb_shape y;
    return (void)d, sb_op_mask.shape(&(sb_mask_how){ 0 },
                                     (sb_shape[]){ { 2, 1, 1, 4, SB_F32 }, { 2, 1, 1, 4, SB_I32 } }, &y);
}

static int refuse_type(sb_device *d)
{
    sb_shape y;
    return (void)d, sb_op_mask.shape(&(sb_mask_how){ 0 },
                                     (sb_shape[]){ { 4, 1, 1, 4, SB_F32 }, { 4, 1, 1, 4, SB_F32 } }, &y);
}

void sb_cases_mask(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 33, 31 }, { 64, 64 }, { 257, 255 } };
    const float values[] = { 0, -INFINITY, 0.25f };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int with = 0; with < 4; with++)
            add((sb_shape){ sizes[i][0], 1, 1, sizes[i][!(with & 1)], SB_F32 }, with & 1,
                (sb_mask_how){ .diagonal = with & 2, .value = values[(i + (size_t)with) % 3] }, false);
    add((sb_shape){ 3, 2, 5, 30, SB_F32 }, true, (sb_mask_how){ .diagonal = true, .value = -1 }, false);
    add((sb_shape){ 4096, 1, 1, 4096, SB_F32 }, true, (sb_mask_how){ .diagonal = true }, true);
    sb_case_add_refusal("mask: places of rows and other columns", refuse_places);
    sb_case_add_refusal("mask: places that are no whole numbers", refuse_type);
}
