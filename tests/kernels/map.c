/* map.c: functions value by value. An angle over pi is rounded twice in f64, an exponential is off by a unit
 * of f64's last place, and f32 has few digits of one that is tiny; all else is rounded relatively, and few
 * times. */
#include "kernels/op/map.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static sb_map_function function_of(const sb_reference *r) { return ((const sb_map_how *)r->how)->function; }

/* What a cosine or a sine of x may be off. */
static double angle_off(double x) { return 0x1p-53 * (4 * fabs(x) + 4); }

/* What a function of x that is y may be off before y is rounded. */
static double value_off(sb_map_function f, double x, double y)
{
    return f == SB_MAP_COSINE ? angle_off(x) : f == SB_MAP_EXP ? 0x1p-52 * y + 0x1p-150 : 0;
}

static void forward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        double x = r->x[0][i];
        switch (function_of(r)) {
        case SB_MAP_RELU: r->y[i] = x <= 0 ? 0 : x; break; /* NaN stays */
        case SB_MAP_ROOT: r->y[i] = x <= 0 ? 0 : sqrt(x); break;
        case SB_MAP_INVERSE: r->y[i] = 1 / x; break;
        case SB_MAP_EXP: r->y[i] = exp(x); break;
        case SB_MAP_SMOOTH: r->y[i] = fabs(x) >= 1 ? fabs(x) - 0.5 : x * x / 2; break;
        default: r->y[i] = cos(x);
        }
        if (r->y_bound)
            r->y_bound[i] = value_off(function_of(r), x, r->y[i]);
    }
}

/* The slope is rounded to f32, that of an inverse from y as it was rounded. */
static void backward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->ys); i++) {
        double slope, off = 0;
        switch (function_of(r)) {
        case SB_MAP_RELU: slope = r->x[0][i] <= 0 ? 0 : 1; break;
        case SB_MAP_ROOT: slope = r->y[i] <= 0 ? 0 : 1 / (2 * r->y[i]); break;
        case SB_MAP_INVERSE: slope = -r->y[i] * r->y[i]; break;
        case SB_MAP_EXP: slope = r->y[i]; break;
        case SB_MAP_SMOOTH: slope = fabs(r->x[0][i]) >= 1 ? copysign(1, r->x[0][i]) : r->x[0][i]; break;
        default: slope = -sin(r->x[0][i]), off = angle_off(r->x[0][i]);
        }
        r->dx[0][i] = r->dy[i] * slope;
        r->dx_bound[0][i] = function_of(r) == SB_MAP_RELU
                                ? 0
                                : 2 * SB_UNIT_F32 * fabs(r->dx[0][i]) + fabs(r->dy[i]) * off;
    }
}

/* Away from the kink of a ReLU, and the pole of a root's slope. */
static void fill_away(sb_trial *t, sb_reference *r)
{
    sb_fill_uniform(t, sb_array_x(t, 0), 0.1, 4);
    for (size_t i = 1; i < sb_array_x(t, 0)->count; i += 2)
        r->x[0][i] *= function_of(r) == SB_MAP_ROOT ? 100 : -1;
}

/* Both kinds of 0, and what is below it. */
static void fill_zero(sb_trial *t, sb_reference *r)
{
    static const double values[] = { 0, -0.0, -1, 0x1p-149, 1e30 };
    (void)t;
    for (size_t i = 0; i < sb_array_x(t, 0)->count; i++)
        r->x[0][i] = values[i % (function_of(r) >= SB_MAP_EXP ? 4 : 5)];
}

/* Many turns; almost all exponents of an f32. */
static void fill_large(sb_trial *t, sb_reference *r)
{
    if (function_of(r) == SB_MAP_EXP)
        sb_fill_uniform(t, sb_array_x(t, 0), -120, 86);
    else
        sb_fill_normal(t, sb_array_x(t, 0), 0, 1e4);
}

static void fill_nan(sb_trial *t, sb_reference *r)
{
    fill_away(t, r);
    for (size_t i = 0; i < sb_array_x(t, 0)->count; i += 3)
        r->x[0][i] = NAN;
}

typedef enum { AWAY, ZERO, LARGE, NOT_NUMBERS, VALUES } values;
static void (*const fills[VALUES])(sb_trial *t, sb_reference *r) = { fill_away, fill_zero, fill_large,
                                                                     fill_nan };
static const char *const texts[VALUES] = { "", ", around 0", ", large", ", NaN" };
static const char *const names[SB_MAPS] = { "relu", "root", "inverse", "exp", "cosine", "smooth" };
static sb_op_test tests[VALUES];

static void add(values which, sb_map_function f, sb_shape x, bool timed)
{
    tests[which] = (sb_op_test){ .op = SB_OP_MAP,
                                 .how_bytes = sizeof(sb_map_how),
                                 .fill = fills[which],
                                 .forward = forward,
                                 .backward = backward };
    sb_op_case_add(
        &tests[which], &(sb_map_how){ f }, &x,
        (sb_op_options){ .timed = timed, .no_differences = which != AWAY, .nan = which == NOT_NUMBERS },
        "%s, [%d, %d, %d, %d]%s", names[f], x.n, x.h, x.w, x.c, texts[which]);
}

void sb_cases_map(void)
{
    const int sizes[][2] = { { 1, 1 }, { 1, 257 }, { 31, 33 }, { 257, 255 } };
    for (sb_map_function f = 0; f < SB_MAPS; f++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (values which = 0; which < VALUES; which++)
                if (f != SB_MAP_INVERSE || which != ZERO)
                    add(which, f, (sb_shape){ sizes[i][0], 1, 1, sizes[i][1], SB_F32 }, false);
        add(AWAY, f, (sb_shape){ 3, 2, 5, 33, SB_F32 }, false);
        add(AWAY, f, (sb_shape){ 4096, 1, 1, 2048, SB_F32 }, true);
    }
}
