/* maxpool.c: max pooling. Exact: no bound. */
#include <math.h>
#include <string.h>

#include "kernels/op/maxpool.h"
#include "tests/kernels/op_cases.h"

/* Element [n, row, column, channel] of an array of this shape. */
static size_t at(const sb_shape *s, int n, int row, int column, int channel)
{
    return (((size_t)n * (size_t)s->h + (size_t)row) * (size_t)s->w + (size_t)column) * (size_t)s->c +
           (size_t)channel;
}

static void forward(sb_reference *r)
{
    const sb_shape *x = &r->xs[0], *y = &r->ys;
    for (int n = 0; n < y->n; n++)
        for (int i = 0; i < y->h; i++)
            for (int j = 0; j < y->w; j++)
                for (int c = 0; c < y->c; c++) {
                    size_t to = at(y, n, i, j, c);
                    r->y[to] = -INFINITY;
                    for (int k = 0; k < 9; k++) {
                        int row = 2 * i - 1 + k / 3, column = 2 * j - 1 + k % 3;
                        if (row < 0 || row >= x->h || column < 0 || column >= x->w)
                            continue;
                        double value = r->x[0][at(x, n, row, column, c)];
                        if (value > r->y[to] || isnan(value)) {
                            r->y[to] = value;
                            r->aux[to] = k;
                        }
                    }
                }
}

/* Up to four windows send their gradient to one place. */
static void backward(sb_reference *r)
{
    const sb_shape *x = &r->xs[0], *y = &r->ys;
    memset(r->dx[0], 0, sb_shape_elements(x) * sizeof(double));
    for (int n = 0; n < y->n; n++)
        for (int i = 0; i < y->h; i++)
            for (int j = 0; j < y->w; j++)
                for (int c = 0; c < y->c; c++) {
                    size_t from = at(y, n, i, j, c);
                    int k = (int)r->aux[from];
                    size_t to = at(x, n, 2 * i - 1 + k / 3, 2 * j - 1 + k % 3, c);
                    r->dx[0][to] += r->dy[from];
                    r->dx_bound[0][to] += 4 * SB_UNIT_F32 * fabs(r->dy[from]);
                }
}

/* Values with many ties: the first maximum wins. */
static void fill_ties(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, &t->arrays[0], 0, 1);
    for (size_t i = 0; i < t->arrays[0].count; i++)
        r->x[0][i] = floor(r->x[0][i]);
}

/* One value in seven is none. */
static void fill_nan(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, &t->arrays[0], 0, 1);
    for (size_t i = 0; i < t->arrays[0].count; i += 7)
        r->x[0][i] = NAN;
}

static const sb_op_test nan_inside = {
    .op = SB_OP_MAXPOOL, .fill = fill_nan, .forward = forward, .backward = backward
};
static const sb_op_test smooth = { .op = SB_OP_MAXPOOL, .forward = forward, .backward = backward };
static const sb_op_test ties = {
    .op = SB_OP_MAXPOOL, .fill = fill_ties, .forward = forward, .backward = backward
};

static int shape_of(sb_shape x)
{
    sb_shape y;
    return sb_op_maxpool.shape(NULL, &x, &y);
}

static int refuse_sides(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 0, 4, 8, SB_F32 }); }
static int refuse_bytes(sb_device *d) { return (void)d, shape_of((sb_shape){ 2, 4, 4, 8, SB_U8 }); }

void sb_cases_maxpool(void)
{
    const int sizes[][4] = { { 1, 1, 1, 1 },   { 2, 2, 2, 33 },  { 1, 31, 33, 31 }, { 33, 7, 7, 1 },
                             { 1, 255, 2, 3 }, { 1, 1, 257, 3 }, { 31, 2, 5, 16 },  { 2, 3, 3, 257 },
                             { 1, 4, 4, 255 }, { 2, 16, 16, 64 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        const char *name = sb_type_name(type);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int *s = sizes[i];
            sb_shape x = { s[0], s[1], s[2], s[3], type };
            if (!sb_case_has(type, i))
                continue;
            sb_op_case_add(&ties, NULL, &x, (sb_op_options){ .no_differences = true },
                           "%s [%d, %d, %d, %d] ties", name, s[0], s[1], s[2], s[3]);
            sb_op_case_add(&nan_inside, NULL, &x, (sb_op_options){ .nan = true }, "%s [%d, %d, %d, %d] NaN",
                           name, s[0], s[1], s[2], s[3]);
            if (type == SB_F32) /* the others have ties anyway */
                sb_op_case_add(&smooth, NULL, &x, (sb_op_options){ 0 }, "%s [%d, %d, %d, %d]", name, s[0],
                               s[1], s[2], s[3]);
        }
        sb_op_case_add(&smooth, NULL, &(sb_shape){ 8, 112, 112, 64, type }, (sb_op_options){ .timed = true },
                       "%s [8, 112, 112, 64]", name);
    }
    sb_case_add_refusal("maxpool: a side of 0", refuse_sides);
    sb_case_add_refusal("maxpool: of u8", refuse_bytes);
}
