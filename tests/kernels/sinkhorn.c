/* sinkhorn.c: codes over prototypes, by the steps of the paper's code on the whole matrix, relative to the
 * largest of all scores. */
#include "kernels/op/sinkhorn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/op_cases.h"

static const sb_sinkhorn_how *how_of(const sb_reference *r) { return r->how; }

static size_t used_of(const sb_reference *r)
{
    size_t most = sb_shape_rows(&r->xs[1]);
    if (!r->x[2] || r->x[2][0] <= 0)
        return 0;
    return r->x[2][0] > (double)most ? most : (size_t)r->x[2][0];
}

static void scale_columns(double *e, size_t rows, size_t columns)
{
    for (size_t c = 0; c < columns; c++) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++)
            sum += e[r * columns + c];
        for (size_t r = 0; r < rows && sum > 0; r++)
            e[r * columns + c] /= sum * (double)columns;
    }
}

static void scale_rows(double *e, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t c = 0; c < columns; c++)
            sum += e[r * columns + c];
        for (size_t c = 0; c < columns; c++)
            e[r * columns + c] /= sum * (double)rows;
    }
}

/* An entry of E is rounded once, to f32. Each scaling is off, relatively, by what E and the other scaling
 * are: by one rounding more. After t iterations of two, y is off by E's, by 2 t - 1 of the columns' and by 2
 * t of the rows'. The f64 sums add terms of 2^-53. An entry that f32 has not is 0; the cases have none that
 * f32 has with fewer digits. */
static void forward(sb_reference *r)
{
    size_t used = used_of(r), n = sb_shape_rows(&r->xs[0]), rows = used + n, columns = (size_t)r->xs[0].c;
    double *e = sb_doubles(rows * columns), most = -INFINITY;
    if (used > 0)
        memcpy(e, r->x[1], used * columns * sizeof *e);
    memcpy(e + used * columns, r->x[0], n * columns * sizeof *e);
    for (size_t k = 0; k < rows * columns; k++)
        most = fmax(most, e[k]);
    for (size_t i = 0; i < rows; i++) {
        double mine = -INFINITY;
        for (size_t c = 0; c < columns; c++)
            mine = fmax(mine, e[i * columns + c]);
        for (size_t c = 0; c < columns; c++) {
            double below = (e[i * columns + c] - mine) / how_of(r)->epsilon;
            double apart = fmax((mine - most) / how_of(r)->epsilon, log(SB_SINKHORN_LEAST));
            e[i * columns + c] = below < -104 ? 0 : exp(below + apart);
        }
    }
    for (int t = 0; t < how_of(r)->iterations; t++) {
        scale_columns(e, rows, columns);
        scale_rows(e, rows, columns);
    }
    for (size_t k = 0; k < n * columns; k++) {
        r->y[k] = e[used * columns + k] * (double)rows;
        if (r->y_bound)
            r->y_bound[k] = r->y[k] * 4 * how_of(r)->iterations *
                            (SB_UNIT_F32 + (double)(rows + columns + 200) * 0x1p-53);
    }
    free(e);
}

/* Cosines, and how many of the earlier rows count. */
static void fill_scores(sb_trial *t, sb_reference *r, double used)
{
    for (int i = 0; i < 2; i++)
        sb_fill_uniform(t, sb_array_x(t, i), -1, 1);
    if (r->x[2])
        r->x[2][0] = used;
}

static void fill_all(sb_trial *t, sb_reference *r) { fill_scores(t, r, (double)sb_shape_rows(&r->xs[1])); }
static void fill_none(sb_trial *t, sb_reference *r) { fill_scores(t, r, 0); }
static void fill_some(sb_trial *t, sb_reference *r)
{
    const size_t third = sb_shape_rows(&r->xs[1]) / 3;
    fill_scores(t, r, (double)third);
}
static void fill_more(sb_trial *t, sb_reference *r) { fill_scores(t, r, 1e9); }
static void fill_less(sb_trial *t, sb_reference *r) { fill_scores(t, r, -1); }

/* Every sample likes the first prototype best: without balance all codes are its. */
static void fill_collapsed(sb_trial *t, sb_reference *r)
{
    fill_all(t, r);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sb_array_x(t, i)->count; k++)
            r->x[i][k] = k % (size_t)r->xs[i].c == 0 ? 1 : 0.2 * r->x[i][k];
}

/* exp(score / epsilon) is infinite in f32, and of a third of the samples, the earlier too, much smaller.
 * Nobody comes near the last prototype. */
static void fill_extreme(sb_trial *t, sb_reference *r)
{
    fill_all(t, r);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sb_array_x(t, i)->count; k++) {
            size_t columns = (size_t)r->xs[i].c;
            double far = k / columns % 3 == 0 ? 90 : 100;
            r->x[i][k] = columns > 1 && k % columns == columns - 1 ? -100 : far + r->x[i][k];
        }
}

/* Every third sample is so far below the others that f64 has no such number. Every sixth is, too, and it
 * alone comes near the last prototype. */
static void fill_apart(sb_trial *t, sb_reference *r)
{
    const double far = 2000 * (double)how_of(r)->epsilon;
    fill_all(t, r);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sb_array_x(t, i)->count; k++) {
            const size_t columns = (size_t)r->xs[i].c, row = k / columns;
            const bool last = columns > 1 && k % columns == columns - 1, alone = row % 6 == 0;
            r->x[i][k] -= (row % 3 == 0 ? far : 0) + (columns > 1 && last != alone ? far : 0);
        }
}

typedef enum { ALL, NONE, SOME, MORE, LESS, COLLAPSED, EXTREME, APART, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { fill_all,     fill_none, fill_some,
                                                                     fill_more,    fill_less, fill_collapsed,
                                                                     fill_extreme, fill_apart };
static const char *const texts[VALUES] = { "",          ", none used", ", a third used", ", 1e9 used",
                                           ", -1 used", ", collapsed", ", extreme",      ", some far below" };
static sb_op_test tests[VALUES];

static void add(values which, int earlier, sb_shape x, sb_sinkhorn_how how, bool timed)
{
    sb_shape xs[3] = { x };
    if (earlier > 0) {
        xs[1] = (sb_shape){ earlier, 1, 1, x.c, SB_F32 };
        xs[2] = (sb_shape){ 1, 1, 1, 1, SB_F32 };
    }
    tests[which] = (sb_op_test){
        .op = SB_OP_SINKHORN, .how_bytes = sizeof how, .fill = fills[which], .forward = forward
    };
    sb_op_case_add(&tests[which], &how, xs, (sb_op_options){ .timed = timed },
                   "%d + [%d, %d, %d, %d], epsilon %g, %d iterations%s", earlier, x.n, x.h, x.w, x.c,
                   (double)how.epsilon, how.iterations, texts[which]);
}

static int shape_of(sb_sinkhorn_how how, sb_shape earlier, sb_shape used)
{
    sb_shape y;
    return sb_op_sinkhorn.shape(&how, (sb_shape[]){ { 2, 1, 1, 4, SB_F32 }, earlier, used }, &y);
}

static const sb_shape one = { 1, 1, 1, 1, SB_F32 };
static int refuse_epsilon(sb_device *d)
{
    return (void)d, shape_of((sb_sinkhorn_how){ 0, 3 }, (sb_shape){ 0 }, (sb_shape){ 0 });
}
static int refuse_iterations(sb_device *d)
{
    return (void)d, shape_of((sb_sinkhorn_how){ 0.05f, 0 }, (sb_shape){ 0 }, (sb_shape){ 0 });
}
static int refuse_prototypes(sb_device *d)
{
    return (void)d, shape_of((sb_sinkhorn_how){ 0.05f, 3 }, (sb_shape){ 8, 1, 1, 5, SB_F32 }, one);
}
static int refuse_no_used(sb_device *d)
{
    return (void)d,
           shape_of((sb_sinkhorn_how){ 0.05f, 3 }, (sb_shape){ 8, 1, 1, 4, SB_F32 }, (sb_shape){ 0 });
}

void sb_cases_sinkhorn(void)
{
    const int sizes[][3] = { { 0, 1, 1 },    { 0, 1, 257 },   { 0, 33, 31 },   { 0, 257, 33 },  { 1, 1, 31 },
                             { 31, 33, 33 }, { 255, 31, 31 }, { 257, 1, 257 }, { 600, 64, 300 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++)
            for (int iterations = 1; iterations <= 3; iterations += 2)
                if (sizes[i][0] > 0 || which == ALL || which >= COLLAPSED)
                    add(which, sizes[i][0], (sb_shape){ sizes[i][1], 1, 1, sizes[i][2], SB_F32 },
                        (sb_sinkhorn_how){ 0.05f, iterations }, false);
    add(ALL, 33, (sb_shape){ 3, 2, 5, 33, SB_F32 }, (sb_sinkhorn_how){ 0.03f, 3 }, false);
    add(ALL, 3840, (sb_shape){ 256, 1, 1, 3000, SB_F32 }, (sb_sinkhorn_how){ 0.05f, 3 }, true);
    sb_case_add_refusal("sinkhorn: at epsilon 0", refuse_epsilon);
    sb_case_add_refusal("sinkhorn: no iterations", refuse_iterations);
    sb_case_add_refusal("sinkhorn: earlier scores of other prototypes", refuse_prototypes);
    sb_case_add_refusal("sinkhorn: earlier scores, and not how many", refuse_no_used);
}
