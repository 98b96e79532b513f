/* groupnorm.c: group normalisation, every combination of its flags. */
#include "kernels/op/groupnorm.h"

#include <math.h>

#include "tests/kernels/norm.h"

static sb_norm norm_of(const sb_reference *r)
{
    sb_call call = { .how = r->how };
    call.xs[0] = r->xs[0];
    call.xs[1] = r->xs[1];
    return sb_groupnorm_of(&call);
}

static void forward(sb_reference *r)
{
    const sb_norm s = norm_of(r);
    sb_norm_reference(r, &s, NULL);
}

static void backward(sb_reference *r)
{
    const sb_norm s = norm_of(r);
    sb_norm_reference_back(r, &s);
}

static void fill(sb_trial *t, sb_reference *r, double offset)
{
    const sb_norm s = norm_of(r);
    sb_norm_fill(t, r, offset, 0.3); /* channels of a group have means of their own */
    if (s.relu)
        sb_norm_clear_kink(t, r, &s, NULL);
}

static void fill_near(sb_trial *t, sb_reference *r) { fill(t, r, 0.5); }
static void fill_far(sb_trial *t, sb_reference *r) { fill(t, r, 30); }

/* In one image: the others stay numbers. */
static void fill_nan(sb_trial *t, sb_reference *r)
{
    fill(t, r, 0.5);
    r->x[0][0] = NAN;
}

static const sb_op_test near = { .op = SB_OP_GROUPNORM,
                                 .how_bytes = sizeof(sb_groupnorm_how),
                                 .fill = fill_near,
                                 .forward = forward,
                                 .backward = backward };
static const sb_op_test far = { .op = SB_OP_GROUPNORM,
                                .how_bytes = sizeof(sb_groupnorm_how),
                                .fill = fill_far,
                                .forward = forward,
                                .backward = backward };
static const sb_op_test nan_inside = { .op = SB_OP_GROUPNORM,
                                       .how_bytes = sizeof(sb_groupnorm_how),
                                       .fill = fill_nan,
                                       .forward = forward,
                                       .backward = backward };

typedef struct {
    sb_shape x;
    int groups;
    bool residual, relu, timed;
    unsigned without; /* 1: gamma, 2: beta */
    unsigned no_dx;   /* 1: of x, 2: of the residual */
} parameters;

static void add(const sb_op_test *test, parameters p)
{
    static const char *const without[] = { "", " no gamma", " no beta", " plain" };
    static const char *const no_dx[] = { "", " no dx0", " no dx1", " no dx" };
    const sb_groupnorm_how how = { .relu = p.relu, .groups = p.groups, .epsilon = 1e-5f };
    const sb_shape xs[2] = { p.x, p.residual ? p.x : (sb_shape){ 0 } };
    /* Of two values, dx is 0 but for epsilon; of one, it is 0. */
    const sb_op_options options = { .timed = p.timed,
                                    .no_differences = p.x.h * p.x.w * p.x.c / p.groups <= 2,
                                    .nan = test == &nan_inside,
                                    .no_dx = p.no_dx,
                                    .without = p.without };
    sb_op_case_add(test, &how, xs, options, "%s [%d, %d, %d, %d] in %d%s%s%s%s%s", sb_type_name(p.x.type),
                   p.x.n, p.x.h, p.x.w, p.x.c, p.groups, without[p.without], p.residual ? " residual" : "",
                   p.relu ? " relu" : "",
                   test == &far          ? " far from 0"
                   : test == &nan_inside ? " NaN"
                                         : "",
                   no_dx[p.no_dx]);
}

static int refuse(int channels, int groups, int residual)
{
    const sb_groupnorm_how how = { .groups = groups, .epsilon = 1e-5f };
    const sb_shape xs[2] = { { 2, 4, 4, channels, SB_F32 }, { residual, 4, 4, channels, SB_F32 } };
    sb_shape y;
    return sb_ops[SB_OP_GROUPNORM]->shape(&how, xs, &y);
}

static int refuse_groups(sb_device *device) { return (void)device, refuse(33, 32, 0); }
static int refuse_none(sb_device *device) { return (void)device, refuse(32, 0, 0); }
static int refuse_residual(sb_device *device) { return (void)device, refuse(32, 32, 3); }

void sb_cases_groupnorm(void)
{
    /* images, places, channels, groups */
    const int sizes[][4] = { { 1, 1, 64, 32 },  { 2, 1, 31, 1 },    { 1, 31, 33, 3 },  { 31, 33, 8, 4 },
                             { 3, 255, 64, 2 }, { 2, 257, 31, 31 }, { 33, 2, 96, 32 }, { 2, 1025, 6, 3 } };
    for (sb_type type = SB_F32; type <= SB_F16; type++) {
        for (unsigned flags = 0; flags < 16; flags++) /* every combination on one size */
            if (sb_case_has(type, sb_case_ones((int)flags)))
                add(&near, (parameters){ .x = { 3, 19, 9, 33, type },
                                         .groups = 11,
                                         .residual = flags & 1,
                                         .relu = flags & 2,
                                         .without = flags >> 2 });
        for (int flags = 0; flags < 4; flags++)
            if (sb_case_has(type, sb_case_ones(flags)))
                add(&nan_inside,
                    (parameters){
                        .x = { 3, 19, 9, 33, type }, .groups = 3, .residual = flags & 1, .relu = flags & 2 });
        for (unsigned no_dx = 1; no_dx < 4; no_dx++)
            for (int relu = 0; relu < 2; relu++)
                if (sb_case_has(type, no_dx + (size_t)relu))
                    add(&near, (parameters){ .x = { 2, 19, 9, 33, type },
                                             .groups = 3,
                                             .residual = true,
                                             .relu = relu,
                                             .no_dx = no_dx });
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) { /* everything on every size */
            const parameters p = { .x = { sizes[i][0], sizes[i][1], 1, sizes[i][2], type },
                                   .groups = sizes[i][3],
                                   .residual = true,
                                   .relu = true };
            if (!sb_case_has(type, i))
                continue;
            add(&near, p);
            add(&far, p);
        }
        for (int side = 112, channels = 64; channels <= 2048; side /= 2, channels *= 2)
            add(&near, (parameters){ .x = { 2, side, side, channels, type }, /* two images of 224 pixels */
                                     .groups = 32,
                                     .residual = channels > 64,
                                     .relu = true,
                                     .timed = true });
    }
    sb_case_add_refusal("groupnorm: groups of unequal size", refuse_groups);
    sb_case_add_refusal("groupnorm: no groups", refuse_none);
    sb_case_add_refusal("groupnorm: a residual of another shape", refuse_residual);
}
