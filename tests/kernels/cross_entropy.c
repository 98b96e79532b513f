/* cross_entropy.c: targets against softmaxes. Forward's sums and exponentials are f64's; backward's are
 * f32's.
 */
#include "kernels/op/cross_entropy.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static double temperature(const sb_reference *r)
{
    return ((const sb_cross_entropy_how *)r->how)->temperature;
}

/* Of logits l = (x - most) / T, 2 roundings each: the sum of exponentials is off, relatively, by what the
 * logits that count are, and by a rounding for each term. */
static void forward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->xs[0]), columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < rows; i++) {
        const double *x = r->x[0] + i * columns, *q = r->x[1] + i * columns;
        double most = -INFINITY, sum = 0, size = 0;
        for (size_t c = 0; c < columns; c++)
            most = fmax(most, x[c]);
        for (size_t c = 0; c < columns; c++) {
            double l = (x[c] - most) / temperature(r);
            sum += exp(l);
            size -= exp(l) * l;
        }
        double target = 0, magnitude = 0, weight = 0;
        for (size_t c = 0; c < columns; c++) {
            double l = (x[c] - most) / temperature(r);
            target += q[c] * (log(fmax(sum, 1)) - l);
            magnitude += fabs(q[c] * l);
            weight += fabs(q[c]);
        }
        r->y[i] = target;
        r->aux[2 * i] = most;
        r->aux[2 * i + 1] = log(fmax(sum, 1));
        if (!r->y_bound)
            continue;
        double terms = (double)(columns + 4) * 0x1p-53;
        r->aux_bound[2 * i + 1] = terms * (1 + log(fmax(sum, 1))) + 2 * 0x1p-53 * size / sum;
        r->y_bound[i] = terms * (magnitude + weight * log(fmax(sum, 1))) + weight * r->aux_bound[2 * i + 1];
    }
}

/* p's exponent is rounded three times, at two sizes; p itself is off by 2 units in its last place at most
 * (CUDA's expf), which are 4 roundings. Then p times the target's sum, the difference, and its factor. */
static void backward(sb_reference *r)
{
    size_t rows = sb_shape_rows(&r->xs[0]), columns = (size_t)r->xs[0].c;
    for (size_t i = 0; i < rows; i++) {
        const double *x = r->x[0] + i * columns, *q = r->x[1] + i * columns;
        double most = r->aux[2 * i], log_sum = r->aux[2 * i + 1], target = 0,
               scale = r->dy[i] / temperature(r);
        for (size_t c = 0; c < columns; c++)
            target += q[c];
        for (size_t c = 0; c < columns; c++) {
            double l = (x[c] - most) / temperature(r), p = exp(l - log_sum),
                   out = scale * (p * target - q[c]);
            double lost = 2 * fabs(l) + fabs(l - log_sum) + 4 + 2;
            r->dx[0][i * columns + c] = out;
            r->dx_bound[0][i * columns + c] = SB_UNIT_F32 *
                                                  (fabs(scale * target) * p * lost + 3 * fabs(out)) *
                                                  (1 + 64 * SB_UNIT_F32) +
                                              fabs(scale * target) * 0x1p-149; /* p below f32's normal ones */
        }
    }
}

static void make_targets(sb_trial *t, sb_reference *r, bool sums_to_one)
{
    size_t columns = (size_t)r->xs[1].c;
    sb_fill_uniform(t, sb_array_x(t, 1), 0, 1);
    for (size_t i = 0; sums_to_one && i < sb_shape_elements(&r->xs[1]); i += columns) {
        double sum = 0;
        for (size_t c = 0; c < columns; c++)
            sum += r->x[1][i + c];
        for (size_t c = 0; c < columns; c++)
            r->x[1][i + c] /= sum;
    }
}

static void fill(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, sb_array_x(t, 0), 0, 0.3);
    make_targets(t, r, true);
}

/* exp(x / T) is infinite. */
static void fill_large(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, sb_array_x(t, 0), 1000, 10);
    make_targets(t, r, true);
}

static void fill_uneven(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, sb_array_x(t, 0), 0, 0.3);
    make_targets(t, r, false);
}

/* Of one class each, and equal logits: SwAV's that has collapsed. */
static void fill_one(sb_trial *t, sb_reference *r)
{
    size_t columns = (size_t)r->xs[1].c;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[1]); i += columns) {
        size_t chosen = sb_random_below(&t->random, (uint32_t)columns);
        for (size_t c = 0; c < columns; c++) {
            r->x[0][i + c] = 0.25;
            r->x[1][i + c] = c == chosen;
        }
    }
}

typedef enum { ORDINARY, LARGE, UNEVEN, ONE, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { fill, fill_large, fill_uneven,
                                                                     fill_one };
static const char *const texts[VALUES] = { "", ", large", ", uneven targets", ", of one class" };
static sb_op_test tests[VALUES];

static void add(values which, sb_shape x, float t, bool timed)
{
    tests[which] = (sb_op_test){ .op = SB_OP_CROSS_ENTROPY,
                                 .how_bytes = sizeof(sb_cross_entropy_how),
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(
        &tests[which], &(sb_cross_entropy_how){ t }, (sb_shape[]){ x, x },
        (sb_op_options){ .timed = timed, .no_dx = 1u << 1, .no_differences = which == LARGE || x.c == 1 },
        "[%d, %d, %d, %d], T %g%s", x.n, x.h, x.w, x.c, (double)t, texts[which]);
}

static int shape_of(float t, int columns)
{
    sb_shape y;
    return sb_op_cross_entropy.shape(&(sb_cross_entropy_how){ t },
                                     (sb_shape[]){ { 2, 1, 1, 4, SB_F32 }, { 2, 1, 1, columns, SB_F32 } },
                                     &y);
}

static int refuse_temperature(sb_device *d) { return (void)d, shape_of(0, 4); }
static int refuse_target(sb_device *d) { return (void)d, shape_of(0.1f, 1); }

void sb_cases_cross_entropy(void)
{
    const int sizes[][2] = { { 1, 1 },   { 1, 257 },   { 31, 33 }, { 33, 31 },
                             { 255, 1 }, { 257, 255 }, { 3, 3000 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (values which = 0; which < VALUES; which++) {
            sb_shape x = { sizes[i][0], 1, 1, sizes[i][1], SB_F32 };
            add(which, x, 0.1f, false);
            add(which, x, 1, false);
        }
    add(ORDINARY, (sb_shape){ 3, 2, 5, 33, SB_F32 }, 0.1f, false);
    add(ORDINARY, (sb_shape){ 512, 1, 1, 3000, SB_F32 }, 0.1f, true);
    sb_case_add_refusal("cross_entropy: at temperature 0", refuse_temperature);
    sb_case_add_refusal("cross_entropy: a target of another shape", refuse_target);
}
