/* match.c: what the most similar place of another image has. A copy is exact; the cases have no two products
 * of a place as near as their roundings, but for equal ones. */
#include "kernels/op/match.h"

#include <math.h>
#include <string.h>

#include "tests/kernels/op_cases.h"

static double product(const double *a, const double *b, size_t columns)
{
    double sum = 0;
    for (size_t c = 0; c < columns; c++)
        sum += a[c] * b[c];
    return sum;
}

static void forward(sb_reference *r)
{
    const size_t places = (size_t)(r->xs[0].h * r->xs[0].w), others = (size_t)(r->xs[1].h * r->xs[1].w),
                 columns = (size_t)r->xs[0].c, out = (size_t)r->xs[2].c;
    for (size_t row = 0; row < sb_shape_rows(&r->xs[0]); row++) {
        const size_t begin = row / places * others;
        size_t best = begin;
        double most = -INFINITY;
        for (size_t j = begin; j < begin + others; j++) {
            double found = product(r->x[0] + row * columns, r->x[1] + j * columns, columns);
            if (found > most) {
                most = found;
                best = j;
            }
        }
        memcpy(r->y + row * out, r->x[2] + best * out, out * sizeof(double));
    }
}

/* Products that f32 has without rounding, many of them equal: the first counts. */
static void fill_equal(sb_trial *t, sb_reference *r)
{
    for (int i = 0; i < 3; i++)
        sb_fill_normal(t, sb_array_x(t, i), 0, 1);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sb_array_x(t, i)->count; k++)
            r->x[i][k] = (double)sb_random_below(&t->random, 3) - 1;
}

/* All products below 0. */
static void fill_opposite(sb_trial *t, sb_reference *r)
{
    for (int i = 0; i < 3; i++)
        sb_fill_normal(t, sb_array_x(t, i), 0, 1);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sb_array_x(t, i)->count; k++)
            r->x[i][k] = (i ? -1 : 1) * (1 + fabs(r->x[i][k]));
}

/* Products with NaN are none; where all are, it is the first place. */
static void fill_nan(sb_trial *t, sb_reference *r)
{
    for (int i = 0; i < 3; i++)
        sb_fill_normal(t, sb_array_x(t, i), 0, 1);
    r->x[0][0] = NAN;
    r->x[1][(sb_shape_rows(&r->xs[1]) - 1) * (size_t)r->xs[1].c] = NAN;
}

static const sb_op_test ordinary = { .op = SB_OP_MATCH, .forward = forward },
                        equal = { .op = SB_OP_MATCH, .fill = fill_equal, .forward = forward },
                        opposite = { .op = SB_OP_MATCH, .fill = fill_opposite, .forward = forward },
                        nans = { .op = SB_OP_MATCH, .fill = fill_nan, .forward = forward };

static void add(const sb_op_test *test, int n, sb_shape a, int h, int w, int out, bool timed)
{
    const sb_shape xs[] = { { n, a.h, a.w, a.c, SB_F32 },
                            { n, h, w, a.c, SB_F32 },
                            { n, h, w, out, SB_F32 } };
    sb_op_case_add(test, NULL, xs, (sb_op_options){ .timed = timed, .nan = test == &nans },
                   "[%d, %d, %d, %d] in [%d, %d], of %d%s", n, a.h, a.w, a.c, h, w, out,
                   test == &equal      ? ", equal"
                   : test == &opposite ? ", opposite"
                   : test == &nans     ? ", NaN"
                                       : "");
}

static int shape_of(sb_shape b, sb_shape v)
{
    sb_shape y;
    return sb_op_match.shape(NULL, (const sb_shape[]){ { 2, 3, 3, 4, SB_F32 }, b, v }, &y);
}

static int refuse_images(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 3, 3, 3, 4, SB_F32 }, (sb_shape){ 3, 3, 3, 8, SB_F32 });
}
static int refuse_columns(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 3, 3, 5, SB_F32 }, (sb_shape){ 2, 3, 3, 8, SB_F32 });
}
static int refuse_places(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 3, 3, 4, SB_F32 }, (sb_shape){ 2, 3, 2, 8, SB_F32 });
}
static int refuse_halves(sb_device *d)
{
    return (void)d, shape_of((sb_shape){ 2, 3, 3, 4, SB_BF16 }, (sb_shape){ 2, 3, 3, 8, SB_F32 });
}

void sb_cases_match(void)
{
    /* Images, sides and channels of a, sides of b, channels of v. */
    const int sizes[][7] = { { 1, 1, 1, 1, 1, 1, 1 },      { 2, 1, 31, 33, 1, 31, 3 },
                             { 33, 3, 3, 5, 2, 2, 31 },    { 1, 1, 257, 7, 1, 255, 2 },
                             { 1, 15, 17, 33, 1, 1, 257 }, { 3, 1, 1, 255, 3, 11, 8 },
                             { 1, 2, 2, 3, 1, 600, 5 } };
    const sb_op_test *tests[] = { &ordinary, &equal, &opposite };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof tests / sizeof *tests; k++) {
            const int *s = sizes[i];
            add(tests[k], s[0], (sb_shape){ .h = s[1], .w = s[2], .c = s[3] }, s[4], s[5], s[6], false);
        }
    add(&nans, 2, (sb_shape){ .h = 3, .w = 3, .c = 8 }, 3, 3, 5, false);
    add(&ordinary, 16, (sb_shape){ .h = 32, .w = 32, .c = 512 }, 32, 32, 128, true);
    sb_case_add_refusal("match: with more images", refuse_images);
    sb_case_add_refusal("match: with other columns", refuse_columns);
    sb_case_add_refusal("match: places of which others are told", refuse_places);
    sb_case_add_refusal("match: of bf16", refuse_halves);
}
