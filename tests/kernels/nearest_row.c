/* nearest_row.c: the row of a queue with the largest product. A copy is exact; the cases have no two rows
 * whose products are as near as a product's rounding, but for equal ones. */
#include "kernels/op/nearest_row.h"

#include <math.h>
#include <string.h>

#include "tests/kernels/op_cases.h"

static size_t used_of(const sb_reference *r)
{
    size_t most = sb_shape_rows(&r->xs[1]);
    if (r->x[2][0] <= 0)
        return 0;
    return r->x[2][0] > (double)most ? most : (size_t)r->x[2][0];
}

static void forward(sb_reference *r)
{
    size_t columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < sb_shape_rows(&r->xs[0]); i++) {
        const double *x = r->x[0] + i * columns, *nearest = x;
        double most = -INFINITY;
        for (size_t k = 0; k < used_of(r); k++) {
            double product = 0;
            for (size_t c = 0; c < columns; c++)
                product += x[c] * r->x[1][k * columns + c];
            if (product > most) {
                most = product;
                nearest = r->x[1] + k * columns;
            }
        }
        memcpy(r->y + i * columns, nearest, columns * sizeof(double));
    }
}

static void fill_used(sb_trial *t, sb_reference *r, double used)
{
    for (int i = 0; i < 2; i++)
        sb_fill_normal(t, sb_array_x(t, i), 0, 1);
    r->x[2][0] = used;
}

static void fill_all(sb_trial *t, sb_reference *r) { fill_used(t, r, (double)sb_shape_rows(&r->xs[1])); }
static void fill_none(sb_trial *t, sb_reference *r) { fill_used(t, r, 0); }
static void fill_some(sb_trial *t, sb_reference *r)
{
    const size_t third = sb_shape_rows(&r->xs[1]) / 3;
    fill_used(t, r, (double)third);
}
static void fill_more(sb_trial *t, sb_reference *r) { fill_used(t, r, 1e9); }
static void fill_less(sb_trial *t, sb_reference *r) { fill_used(t, r, -1); }

/* Products that f32 has without rounding, many of them equal, of rows that differ: the first counts. */
static void fill_equal(sb_trial *t, sb_reference *r)
{
    fill_all(t, r);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sb_array_x(t, i)->count; k++)
            r->x[i][k] = (double)sb_random_below(&t->random, 3) - 1;
}

/* All below 0. */
static void fill_opposite(sb_trial *t, sb_reference *r)
{
    fill_all(t, r);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sb_array_x(t, i)->count; k++)
            r->x[i][k] = (i ? -1 : 1) * (1 + fabs(r->x[i][k]));
}

typedef enum { ALL, NONE, SOME, MORE, LESS, EQUAL, OPPOSITE, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { fill_all,     fill_none, fill_some,
                                                                     fill_more,    fill_less, fill_equal,
                                                                     fill_opposite };
static const char *const texts[VALUES] = { "",          ", none used", ", a third used", ", 1e9 used",
                                           ", -1 used", ", equal",     ", opposite" };
static sb_op_test tests[VALUES];

static void add(values which, sb_shape x, int queue, bool timed)
{
    const sb_shape xs[] = { x, { queue, 1, 1, x.c, SB_F32 }, { 1, 1, 1, 1, SB_F32 } };
    tests[which] = (sb_op_test){ .op = SB_OP_NEAREST_ROW, .fill = fills[which], .forward = forward };
    sb_op_case_add(&tests[which], NULL, xs, (sb_op_options){ .timed = timed }, "[%d, %d, %d, %d] of %d%s",
                   x.n, x.h, x.w, x.c, queue, texts[which]);
}

static int shape_of(int columns, int used)
{
    sb_shape y;
    return sb_op_nearest_row.shape(
        NULL,
        (const sb_shape[]){ { 2, 1, 1, 4, SB_F32 }, { 8, 1, 1, columns, SB_F32 }, { used, 1, 1, 1, SB_F32 } },
        &y);
}

static int refuse_columns(sb_device *d) { return (void)d, shape_of(5, 1); }
static int refuse_used(sb_device *d) { return (void)d, shape_of(4, 2); }
static int refuse_no_used(sb_device *d) { return (void)d, shape_of(4, 0); }

void sb_cases_nearest_row(void)
{
    const int sizes[][3] = {
        { 1, 1, 1 },      { 1, 257, 31 }, { 33, 31, 33 },
        { 31, 600, 128 }, { 257, 33, 3 }, { 2, SB_NEAREST_ROW_BAND + 3, 5 }
    }; /* n, m, d */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            add(which, (sb_shape){ sizes[i][0], 1, 1, sizes[i][2], SB_F32 }, sizes[i][1], false);
    add(SOME, (sb_shape){ 3, 2, 5, 33, SB_F32 }, 65, false);
    add(ALL, (sb_shape){ 64, 1, 1, 256, SB_F32 }, 65536, true);
    sb_case_add_refusal("nearest_row: a queue of other columns", refuse_columns);
    sb_case_add_refusal("nearest_row: two numbers of rows in use", refuse_used);
    sb_case_add_refusal("nearest_row: not how many rows are in use", refuse_no_used);
}
