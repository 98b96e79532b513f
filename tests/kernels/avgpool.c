/* avgpool.c: global average pooling. */
#include "kernels/op/avgpool.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static void fill(sb_trial *t, sb_reference *r)
{
    (void)r;
    sb_fill_normal(t, sb_array_x(t, 0), 0.2, 1);
}

static void forward(sb_reference *r)
{
    const sb_shape *x = &r->xs[0];
    const sb_avgpool_how *how = r->how;
    const size_t places = (size_t)x->h * (size_t)x->w, c = (size_t)x->c, first = (size_t)how->first,
                 count = how->count > 0 ? (size_t)how->count : places - first;
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        double sum = 0, magnitude = 0;
        for (size_t p = first; p < first + count; p++) {
            double value = r->x[0][(i / c * places + p) * c + i % c];
            sum += value;
            magnitude += fabs(value);
        }
        r->y[i] = sum / (double)count;
        if (r->y_bound)
            r->y_bound[i] = sb_growth((double)count) * SB_UNIT_F32 * magnitude / (double)count;
    }
}

static void backward(sb_reference *r)
{
    const sb_shape *x = &r->xs[0];
    const sb_avgpool_how *how = r->how;
    const size_t places = (size_t)x->h * (size_t)x->w, c = (size_t)x->c, first = (size_t)how->first,
                 count = how->count > 0 ? (size_t)how->count : places - first;
    for (size_t i = 0; i < sb_shape_elements(x); i++) {
        const size_t p = i / c % places;
        r->dx[0][i] = p >= first && p < first + count ? r->dy[i / (places * c) * c + i % c] / (double)count
                                                      : 0;
        r->dx_bound[0][i] = SB_UNIT_F32 * fabs(r->dx[0][i]); /* of the share */
    }
}

static const sb_op_test test = { .op = SB_OP_AVGPOOL,
                                 .how_bytes = sizeof(sb_avgpool_how),
                                 .fill = fill,
                                 .forward = forward,
                                 .backward = backward };

static int shape_of(sb_shape x)
{
    sb_shape y;
    return sb_op_avgpool.shape(&(sb_avgpool_how){ 0 }, &x, &y);
}
static int shape_of_some(int first, int count)
{
    sb_shape y;
    return sb_op_avgpool.shape(&(sb_avgpool_how){ first, count }, &(sb_shape){ 2, 2, 3, 8, SB_F32 }, &y);
}

static int refuse_sides(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 4, 0, 8, SB_F32 }); }
static int refuse_bytes(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 4, 4, 8, SB_U8 }); }
static int refuse_rows(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 1 << 15, 1 << 8, 1 << 8, 1, SB_F32 });
}
static int refuse_first(sb_device *d) { return (void)d, shape_of_some(6, 0); }
static int refuse_before(sb_device *d) { return (void)d, shape_of_some(-1, 2); }
static int refuse_count(sb_device *d) { return (void)d, shape_of_some(2, 5); }

void sb_cases_avgpool(void)
{
    const int sizes[][4] = { { 1, 1, 1, 1 },   { 2, 2, 2, 33 },  { 1, 31, 33, 31 }, { 33, 7, 7, 1 },
                             { 1, 255, 2, 3 }, { 1, 1, 257, 3 }, { 31, 2, 5, 16 },  { 2, 3, 3, 257 },
                             { 1, 4, 4, 255 }, { 2, 16, 16, 64 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            if (!sb_case_has(type, i))
                continue;
            sb_op_case_add(&test, &(sb_avgpool_how){ 0 }, &(sb_shape){ s[0], s[1], s[2], s[3], type },
                           (sb_op_options){ 0 }, "%s [%d, %d, %d, %d]", sb_type_name(type), s[0], s[1], s[2],
                           s[3]);
        }
        for (int i = 0; i < 4; i++) {
            const sb_avgpool_how how = { i, i % 2 };
            const sb_shape x = { 3, 1, 11, i < 2 ? 33 : 40, type };
            sb_op_case_add(&test, &how, &x, (sb_op_options){ 0 }, "%s [3, 1, 11, %d], %d places from %d on",
                           sb_type_name(type), x.c, how.count, how.first);
        }
        sb_op_case_add(&test, &(sb_avgpool_how){ 0 }, &(sb_shape){ 8, 7, 7, 2048, type },
                       (sb_op_options){ .timed = true }, "%s [8, 7, 7, 2048]", sb_type_name(type));
    }
    sb_case_add_refusal("avgpool: a side of 0", refuse_sides);
    sb_case_add_refusal("avgpool: of u8", refuse_bytes);
    sb_case_add_refusal("avgpool: 2^31 rows", refuse_rows);
    sb_case_add_refusal("avgpool: from the last place on", refuse_first);
    sb_case_add_refusal("avgpool: from a place before the first", refuse_before);
    sb_case_add_refusal("avgpool: of more places than there are", refuse_count);
}
