/* logsumexp.c: log-sum-exp of the rows of a matrix. Forward's sums and exponentials are f64's; backward's are
 * f32's. */
#include "kernels/op/logsumexp.h"

#include <math.h>

#include "tests/kernels/places.h"

static const sb_logsumexp_how *how_of(const sb_reference *r) { return r->how; }

static bool left(const sb_reference *r, size_t row, size_t c)
{
    return (!r->x[1] || (double)c < r->x[1][0]) && !(how_of(r)->diagonal && c == row) &&
           !(c != row && r->x[2] && sb_places_meet(r->x[2], row, c));
}

/* Of logits l = (x - most) / T, 2 roundings each: the sum of exponentials is off, relatively, by what the
 * logits that count are, and by a rounding for each term. y adds most / T, of 2 roundings. */
static void forward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->xs[0]), columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < rows; i++) {
        const double *x = r->x[0] + i * columns, t = (double)how_of(r)->temperature;
        double most = -INFINITY, sum = 0, size = 0;
        for (size_t c = 0; c < columns; c++)
            most = left(r, i, c) ? fmax(most, x[c]) : most;
        for (size_t c = 0; c < columns; c++) {
            double l = left(r, i, c) ? (x[c] - most) / t : -INFINITY;
            sum += exp(l);
            size -= exp(l) > 0 ? exp(l) * l : 0;
        }
        r->aux[2 * i] = most;
        r->aux[2 * i + 1] = log(fmax(sum, 1));
        r->y[i] = most > -INFINITY ? most / t + r->aux[2 * i + 1] : (double)how_of(r)->empty;
        if (!r->y_bound || most == -INFINITY)
            continue;
        double terms = (double)(columns + 4) * 0x1p-53;
        r->aux_bound[2 * i + 1] = terms * (1 + log(fmax(sum, 1))) + 2 * 0x1p-53 * size / sum;
        r->y_bound[i] = r->aux_bound[2 * i + 1] + 3 * 0x1p-53 * (fabs(most / t) + log(fmax(sum, 1)));
    }
}

/* The exponent is rounded three times, at two sizes; its exponential is off by 2 units in its last place at
 * most (CUDA's expf), which are 4 roundings. Then dy / T, and the product. */
static void backward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->xs[0]), columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < columns; c++) {
            double most = r->aux[2 * i], log_sum = r->aux[2 * i + 1], t = (double)how_of(r)->temperature;
            double l = (r->x[0][i * columns + c] - most) / t, scale = r->dy[i] / t;
            bool counts = most > -INFINITY && left(r, i, c);
            r->dx[0][i * columns + c] = counts ? scale * exp(l - log_sum) : 0;
            double lost = 2 * fabs(l) + fabs(l - log_sum) + 4 + 2;
            if (counts)
                r->dx_bound[0][i * columns + c] = SB_UNIT_F32 * fabs(r->dx[0][i * columns + c]) * lost *
                                                      (1 + 64 * SB_UNIT_F32) +
                                                  fabs(scale) * 0x1p-149; /* below f32's normal ones */
        }
}

static void fill_used(sb_trial *t, sb_reference *r, double used)
{
    sb_fill_normal(t, sb_array_x(t, 0), 0, 0.3);
    if (r->x[1])
        r->x[1][0] = used;
    if (r->x[2])
        sb_fill_crowd(t, r->x[2], r->xs[2].n);
}

static void fill_all(sb_trial *t, sb_reference *r) { fill_used(t, r, r->xs[0].c); }
static void fill_none(sb_trial *t, sb_reference *r) { fill_used(t, r, 0); }
static void fill_some(sb_trial *t, sb_reference *r)
{
    const int third = r->xs[0].c / 3;
    fill_used(t, r, third);
}
static void fill_more(sb_trial *t, sb_reference *r) { fill_used(t, r, 1e9); }
static void fill_less(sb_trial *t, sb_reference *r) { fill_used(t, r, -1); }

/* exp(x / T) is infinite. */
static void fill_large(sb_trial *t, sb_reference *r)
{
    fill_all(t, r);
    sb_fill_normal(t, sb_array_x(t, 0), 1000, 10);
}

/* Of the first row every column but its own is left out; in the others all are equal. */
static void fill_beside(sb_trial *t, sb_reference *r)
{
    fill_all(t, r);
    for (size_t k = 0; k < sb_array_x(t, 0)->count; k++)
        r->x[0][k] = 0.25;
    if (r->x[2])
        sb_fill_beside_first(r->x[2], r->xs[2].n);
}

typedef enum { ALL, NONE, SOME, MORE, LESS, LARGE, BESIDE, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { fill_all,   fill_none, fill_some,
                                                                     fill_more,  fill_less, fill_large,
                                                                     fill_beside };
static const char *const texts[VALUES] = { "",          ", none used", ", a third used",      ", 1e9 used",
                                           ", -1 used", ", large",     ", the first overlaps" };
static sb_op_test tests[VALUES];

static void add(values which, sb_shape x, bool used, bool places, sb_logsumexp_how how, bool timed)
{
    sb_shape xs[3] = { x };
    if (used)
        xs[1] = (sb_shape){ 1, 1, 1, 1, SB_F32 };
    if (places)
        xs[2] = (sb_shape){ x.n * x.h * x.w, 1, 1, 4, SB_I32 };
    tests[which] = (sb_op_test){ .op = SB_OP_LOGSUMEXP,
                                 .how_bytes = sizeof how,
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(&tests[which], &how, xs,
                   (sb_op_options){ .timed = timed,
                                    .no_dx = 6,
                                    .no_differences = which == LARGE || how.empty == -INFINITY },
                   "[%d, %d, %d, %d]%s%s, T %g%s, empty %g%s", x.n, x.h, x.w, x.c, used ? ", used" : "",
                   places ? ", places" : "", (double)how.temperature, how.diagonal ? ", no diagonal" : "",
                   (double)how.empty, texts[which]);
}

static int shape_of(float t, sb_shape used, sb_shape places)
{
    sb_shape y;
    return sb_op_logsumexp.shape(&(sb_logsumexp_how){ t, false, 0 },
                                 (sb_shape[]){ { 2, 1, 1, 4, SB_F32 }, used, places }, &y);
}

static int refuse_temperature(sb_device *d) { return (void)d, shape_of(0, (sb_shape){ 0 }, (sb_shape){ 0 }); }
static int refuse_used(sb_device *d)
{
    return (void)d, shape_of(0.1f, (sb_shape){ 2, 1, 1, 1, SB_F32 }, (sb_shape){ 0 });
}
static int refuse_places(sb_device *d) /* of the rows, which are not the columns' samples */
{
    return (void)d, shape_of(0.1f, (sb_shape){ 0 }, (sb_shape){ 2, 1, 1, 4, SB_I32 });
}

void sb_cases_logsumexp(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 33, 31 }, { 64, 64 }, { 257, 255 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            for (int with = 0; with < 4; with++) {
                const bool used = with & 1, places = with & 2;
                const int rows = sizes[i][0], columns = places ? rows : sizes[i][1];
                const sb_logsumexp_how how = { i % 2 ? 0.1f : 0.02f, .diagonal = places != (i == 3),
                                               .empty = which == LESS ? -INFINITY : 0.25f };
                if (used || which == ALL || which >= LARGE)
                    add(which, (sb_shape){ rows, 1, 1, columns, SB_F32 }, used, places, how, false);
            }
    add(SOME, (sb_shape){ 3, 2, 5, 30, SB_F32 }, true, true, (sb_logsumexp_how){ 0.5f, true, 0 }, false);
    add(ALL, (sb_shape){ 64, 1, 1, 65536, SB_F32 }, true, false, (sb_logsumexp_how){ 0.2f, false, 0 }, true);
    sb_case_add_refusal("logsumexp: at temperature 0", refuse_temperature);
    sb_case_add_refusal("logsumexp: two numbers of columns in use", refuse_used);
    sb_case_add_refusal("logsumexp: places of rows and other columns", refuse_places);
}
