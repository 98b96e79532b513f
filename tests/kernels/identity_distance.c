/* identity_distance.c: how far a matrix is from the identity. Sums are f64's; a gradient is a factor, a
 * difference and a product. */
#include "kernels/op/identity_distance.h"

#include <math.h>

#include "tests/kernels/op_cases.h"

static double on_of(const sb_reference *r) { return ((const sb_identity_distance_how *)r->how)->on; }
static double off_of(const sb_reference *r) { return ((const sb_identity_distance_how *)r->how)->off; }

static bool on_diagonal(const sb_reference *r, size_t i)
{
    size_t d = (size_t)r->xs[0].c;
    return i / d == i % d;
}

/* No term is below 0. A term has 4 roundings at most, and is added d^2 times at most. */
static void forward(sb_reference *r)
{
    size_t count = sb_shape_elements(&r->xs[0]);
    r->y[0] = 0;
    for (size_t i = 0; i < count; i++)
        r->y[0] += on_diagonal(r, i) ? on_of(r) * pow(r->x[0][i] - 1, 2) : off_of(r) * pow(r->x[0][i], 2);
    if (r->y_bound)
        r->y_bound[0] = (double)(count + 4) * 0x1p-53 * r->y[0];
}

/* On the diagonal the factor and the difference are rounded, off it the factor. */
static void backward(sb_reference *r)
{
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++) {
        double x = r->x[0][i];
        r->dx[0][i] = 2 * r->dy[0] * (on_diagonal(r, i) ? on_of(r) * (x - 1) : off_of(r) * x);
        r->dx_bound[0][i] = 2 * SB_UNIT_F32 * fabs(r->dx[0][i]) * (1 + SB_UNIT_F32);
    }
}

/* Near the identity, as where training ends. */
static void fill_near(sb_trial *t, sb_reference *r)
{
    sb_fill_normal(t, sb_array_x(t, 0), 0, 1e-3);
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] += on_diagonal(r, i);
}

static void fill_identity(sb_trial *t, sb_reference *r)
{
    (void)t;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++)
        r->x[0][i] = on_diagonal(r, i);
}

#define TEST(...)                                                                                 \
    {                                                                                             \
        .op = SB_OP_IDENTITY_DISTANCE, .how_bytes = sizeof(sb_identity_distance_how), __VA_ARGS__ \
    }
static const sb_op_test ordinary = TEST(.forward = forward, .backward = backward);
static const sb_op_test near = TEST(.fill = fill_near, .forward = forward, .backward = backward);
static const sb_op_test identity = TEST(.fill = fill_identity, .forward = forward, .backward = backward);

static void add(const sb_op_test *test, sb_shape x, float on, float off, bool timed)
{
    sb_op_case_add(test, &(sb_identity_distance_how){ on, off }, &x, (sb_op_options){ .timed = timed },
                   "[%d, %d, %d, %d], on %g, off %g%s", x.n, x.h, x.w, x.c, (double)on, (double)off,
                   test == &near       ? ", near"
                   : test == &identity ? ", the identity"
                                       : "");
}

static int shape_of(float on, float off, sb_shape x)
{
    sb_shape y;
    return sb_op_identity_distance.shape(&(sb_identity_distance_how){ on, off }, &x, &y);
}

static int refuse_oblong(sb_device *d) { return (void)d, shape_of(1, 1, (sb_shape){ 3, 1, 1, 2, SB_F32 }); }
static int refuse_on(sb_device *d) { return (void)d, shape_of(-1, 1, (sb_shape){ 2, 1, 1, 2, SB_F32 }); }
static int refuse_off(sb_device *d) { return (void)d, shape_of(1, -1, (sb_shape){ 2, 1, 1, 2, SB_F32 }); }

void sb_cases_identity_distance(void)
{
    const int sizes[] = { 1, 31, 33, 255, 257 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sb_shape x = { sizes[i], 1, 1, sizes[i], SB_F32 };
        add(&ordinary, x, 1, 1, false);
        add(&ordinary, x, 0, 0.3f, false);
        add(&ordinary, x, 1, 0.0051f, false);
        add(&near, x, 1, 0.0051f, false);
        add(&identity, x, 1, 0.0051f, false);
    }
    add(&ordinary, (sb_shape){ 33, 1, 1, 33, SB_F32 }, 1, 0, false);
    add(&ordinary, (sb_shape){ 3, 2, 5, 30, SB_F32 }, 0.3f, 1, false);
    add(&ordinary, (sb_shape){ 2048, 1, 1, 2048, SB_F32 }, 1, 0.0051f, true);
    sb_case_add_refusal("identity_distance: of a matrix that is not square", refuse_oblong);
    sb_case_add_refusal("identity_distance: on the diagonal less than nothing", refuse_on);
    sb_case_add_refusal("identity_distance: off the diagonal less than nothing", refuse_off);
}
