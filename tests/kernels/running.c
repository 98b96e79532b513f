/* running.c: running statistics. */
#include "kernels/op/running.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

/* Means, then variances, none of which is below 0. */
static void fill(sb_trial *t, sb_reference *r)
{
    size_t c = (size_t)r->xs[0].c;
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1);
    for (size_t i = 0; i < 2 * c; i++)
        r->y[i] = 2 * (double)sb_random_uniform(&t->random) - (i < c);
    for (size_t i = c; i < 2 * c; i++)
        r->x[0][i] = 2 * (double)sb_random_uniform(&t->random);
}

static void forward(sb_reference *r)
{
    const sb_running_how *how = r->how;
    double unbiased = how->rows > 1 ? (double)how->rows / (how->rows - 1) : 1, m = (double)how->momentum;
    size_t c = (size_t)r->xs[0].c;
    for (size_t i = 0; i < 2 * c; i++) {
        double old = r->y[i], now = r->x[0][i] * (i < c ? 1 : unbiased);
        r->y[i] = (1 - m) * old + m * now;
        r->y_bound[i] = sb_growth(1) * SB_UNIT_F32 * ((1 - m) * fabs(old) + m * fabs(now));
    }
}

static const sb_op_test test = { .op = SB_OP_RUNNING,
                                 .how_bytes = sizeof(sb_running_how),
                                 .updates = true,
                                 .fill = fill,
                                 .forward = forward };

static int refuse(sb_device *device)
{
    (void)device;
    sb_shape y;
    return sb_ops[SB_OP_RUNNING]->shape(&(sb_running_how){ 8, 0.1f }, &(sb_shape){ 3, 1, 1, 8, SB_F32 }, &y);
}

void sb_cases_running(void)
{
    const struct {
        int channels;
        sb_running_how how;
    } runs[] = { { 1, { 2, 0.1f } },     { 2, { 1, 0.1f } },  { 31, { 1, 0.1f } },
                 { 33, { 255, 0.01f } }, { 257, { 257, 1 } }, { 512, { 100000, 0.1f } } };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        sb_op_case_add(&test, &runs[i].how, &(sb_shape){ 2, 1, 1, runs[i].channels, SB_F32 },
                       (sb_op_options){ 0 }, "%d of %d rows, momentum %g", runs[i].channels, runs[i].how.rows,
                       (double)runs[i].how.momentum);
    sb_case_add_refusal("running: three rows of statistics", refuse);
}
