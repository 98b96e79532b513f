/* batchnorm.c: batch normalisation, every combination of its flags. */
#include "kernels/op/batchnorm.h"

#include <math.h>

#include "tests/kernels/norm.h"

static sb_norm norm_of(const sb_reference *r)
{
    sb_call call = { .how = r->how };
    call.xs[0] = r->xs[0];
    call.xs[1] = r->xs[1];
    return sb_batchnorm_of(&call);
}

static void forward(sb_reference *r)
{
    const sb_norm s = norm_of(r);
    sb_norm_reference(r, &s, r->w[2]);
}

static void backward(sb_reference *r)
{
    const sb_norm s = norm_of(r);
    sb_norm_reference_back(r, &s);
}

/* dx = g gamma / deviation, rounded a few times. */
static void backward_frozen(sb_reference *r)
{
    const sb_norm s = norm_of(r);
    const size_t c = (size_t)s.channels;
    for (size_t i = 0; i < sb_shape_elements(&r->xs[0]); i++) {
        const size_t k = i % c;
        const double g = sb_norm_masked(r, &s, i),
                     scale = (r->w[0] ? r->w[0][k] : 1) / sqrt(r->w[2][c + k] + (double)s.epsilon);
        if (r->dx[0]) {
            r->dx[0][i] = g * scale;
            r->dx_bound[0][i] = sb_growth(1) * SB_UNIT_F32 * fabs(g * scale);
        }
        if (r->dx[1])
            r->dx[1][i] = g;
    }
}

/* offset: of x from 0, in deviations. */
static void fill(sb_trial *t, sb_reference *r, double offset)
{
    const sb_norm s = norm_of(r);
    const size_t c = (size_t)s.channels;
    sb_norm_fill(t, r, offset, 0);
    sb_fill_normal(t, sb_array_w(t, 2), offset, 1); /* statistics of other data */
    for (size_t k = 0; k < c && r->w[2]; k++)
        r->w[2][c + k] = 0.1 + 2.9 * (double)sb_random_uniform(&t->random);
    sb_array_round(sb_array_w(t, 2));
    if (s.relu)
        sb_norm_clear_kink(t, r, &s, r->w[2]);
}

/* Far from 0, a naive sum of squares loses its digits. */
static void fill_near(sb_trial *t, sb_reference *r) { fill(t, r, 0.5); }
static void fill_far(sb_trial *t, sb_reference *r) { fill(t, r, 30); }

static const sb_op_test near = { .op = SB_OP_BATCHNORM,
                                 .how_bytes = sizeof(sb_batchnorm_how),
                                 .fill = fill_near,
                                 .forward = forward,
                                 .backward = backward };
static const sb_op_test far = { .op = SB_OP_BATCHNORM,
                                .how_bytes = sizeof(sb_batchnorm_how),
                                .fill = fill_far,
                                .forward = forward,
                                .backward = backward };

/* NaN in a row of x, which the batch's statistics carry to all of a channel, or of the residual, which is
 * added to that row alone. */
static void fill_nan(sb_trial *t, sb_reference *r)
{
    size_t c = (size_t)r->xs[0].c, row = sb_shape_rows(&r->xs[0]) / 2;
    fill(t, r, 0.5);
    for (size_t k = 0; k < c; k += 3)
        r->x[r->x[1] ? 1 : 0][row * c + k] = NAN;
}

static const sb_op_test nan_inside = { .op = SB_OP_BATCHNORM,
                                       .how_bytes = sizeof(sb_batchnorm_how),
                                       .fill = fill_nan,
                                       .forward = forward,
                                       .backward = backward };

static const sb_op_test frozen = { .op = SB_OP_BATCHNORM,
                                   .how_bytes = sizeof(sb_batchnorm_how),
                                   .fill = fill_near,
                                   .forward = forward,
                                   .backward = backward_frozen };

typedef struct {
    sb_shape x;
    bool residual, relu;
    unsigned without; /* 1: gamma, 2: beta */
    unsigned no_dx;   /* 1: of x, 2: of the residual */
} parameters;

/* Training, with its gradients, and evaluation. */
static void add(const sb_op_test *test, bool timed, parameters p)
{
    static const char *const without[] = { "", " no gamma", " no beta", " plain" };
    static const char *const no_dx[] = { "", " no dx0", " no dx1", " no dx" };
    sb_batchnorm_how how = { .relu = p.relu, .frozen = test == &frozen, .epsilon = 1e-5f };
    sb_shape xs[2] = { p.x, p.residual ? p.x : (sb_shape){ 0 } };
    /* Of two rows, dx is 0 but for epsilon; of one, it is 0. */
    sb_op_options training = { .timed = timed,
                               .no_differences = p.x.n * p.x.h * p.x.w <= 2,
                               .nan = test == &nan_inside,
                               .no_dx = p.no_dx,
                               .without = how.frozen ? 0 : p.without | 4 }; /* the given statistics */
    sb_op_options evaluation = {
        .timed = timed, .nan = test == &nan_inside, .forward_only = true, .without = p.without
    };
    char text[64];
    snprintf(text, sizeof text, "%s [%d, %d, %d, %d]%s%s%s%s", sb_type_name(p.x.type), p.x.n, p.x.h, p.x.w,
             p.x.c, without[p.without], p.residual ? " residual" : "", p.relu ? " relu" : "",
             test == &far          ? " far from 0"
             : test == &nan_inside ? " NaN"
             : test == &frozen     ? " frozen"
                                   : "");
    sb_op_case_add(test, &how, xs, training, "%s%s", text, no_dx[p.no_dx]);
    if (!p.no_dx && !how.frozen)
        sb_op_case_add(test, &how, xs, evaluation, "given statistics, %s", text);
}

static int refuse(const sb_shape *xs)
{
    sb_batchnorm_how how = { .relu = true, .epsilon = 1e-5f };
    sb_shape y;
    return sb_ops[SB_OP_BATCHNORM]->shape(&how, xs, &y);
}

static int refuse_residual(sb_device *device)
{
    (void)device;
    return refuse((sb_shape[]){ { 2, 4, 4, 8, SB_F32 }, { 2, 4, 2, 8, SB_F32 } });
}

static int refuse_type(sb_device *device)
{
    (void)device;
    return refuse((sb_shape[]){ { 2, 4, 4, 8, SB_F32 }, { 2, 4, 4, 8, SB_BF16 } });
}

static int refuse_rows(sb_device *device)
{
    (void)device;
    return refuse((sb_shape[]){ { 1 << 15, 1 << 8, 1 << 8, 1, SB_F32 }, { 0 } });
}

static int refuse_sides(sb_device *device)
{
    (void)device;
    return refuse((sb_shape[]){ { 2, 4, 4, 0, SB_F32 }, { 0 } });
}

static int refuse_bytes(sb_device *device)
{
    (void)device;
    return refuse((sb_shape[]){ { 2, 4, 4, 8, SB_U8 }, { 0 } });
}

void sb_cases_batchnorm(void)
{
    const int sizes[][2] = { { 2, 31 },    { 1, 33 },    { 31, 257 }, { 33, 1 },   { 255, 33 },
                             { 257, 255 }, { 1025, 16 }, { 5000, 3 }, { 257, 24 }, { 33, 264 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (int flags = 0; flags < 32; flags++) /* every combination on rows of odd and of whole 16 bytes */
            if (sb_case_has(type, sb_case_ones(flags)))
                add(&near, false,
                    (parameters){ { 3, 19, 9, flags & 16 ? 40 : 33, type },
                                  flags & 1,
                                  flags & 2,
                                  (unsigned)flags >> 2 & 3,
                                  0 });
        for (int flags = 0; flags < 4; flags++) {
            const parameters p = { { 3, 19, 9, 33, type }, flags & 1, flags & 2, 0, 0 };
            if (sb_case_has(type, sb_case_ones(flags)))
                add(&nan_inside, false, p);
            if (sb_case_has(type, sb_case_ones(flags) + 1))
                add(&frozen, false, p);
        }
        for (unsigned no_dx = 1; no_dx < 4; no_dx++)
            for (int relu = 0; relu < 2; relu++)
                if (sb_case_has(type, no_dx + (size_t)relu))
                    add(&near, false, (parameters){ { 513, 1, 1, 33, type }, true, relu, 0, no_dx });
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) { /* everything on every size */
            parameters p = { { sizes[i][0], 1, 1, sizes[i][1], type }, true, true, 0, 0 };
            if (!sb_case_has(type, i))
                continue;
            add(&near, false, p);
            add(&far, false, p);
            add(&frozen, false, p);
            p = (parameters){ p.x, .without = 3 }; /* standardised columns */
            add(&near, false, p);
            add(&far, false, p);
        }
        for (int places = 112 * 112, channels = 64; channels <= 2048; places /= 4, channels *= 2) {
            sb_shape x = { 2 * places, 1, 1, channels, type }; /* of two images of 224 pixels */
            add(&near, true, (parameters){ x, channels > 64, true, 0, 0 });
        }
    }
    sb_case_add_refusal("batchnorm: a residual of another shape", refuse_residual);
    sb_case_add_refusal("batchnorm: a residual of another type", refuse_type);
    sb_case_add_refusal("batchnorm: 2^31 rows", refuse_rows);
    sb_case_add_refusal("batchnorm: a side of 0", refuse_sides);
    sb_case_add_refusal("batchnorm: of u8", refuse_bytes);
}
