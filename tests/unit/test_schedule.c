/* The learning rate of every step against its formula, in another form: (1 + cos x) / 2 = cos^2(x / 2). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trainer/schedule.h"

typedef struct {
    sb_optimiser_keys optimiser;
    sb_trainer_keys trainer;
} keys;

static keys configure(sb_lr_scaling scaling, int64_t steps, double warmup, double final)
{
    return (keys){ .optimiser = { .lr = 0.3, .scaling = scaling, .warmup = warmup, .final_lr = final },
                   .trainer = { .batch = 64, .accumulate = 1, .steps = steps } };
}

static double lr(const keys *k, int64_t number) { return sb_schedule_lr(&k->optimiser, &k->trainer, number); }

static void same(double got, double wanted)
{
    if (!(fabs(got - wanted) <= 1e-14))
        fail_msg("the learning rate is %.17g, wanted %.17g", got, wanted);
}

static void test_scaling(void **state)
{
    (void)state;
    const double peaks[] = { [SB_SCALING_NONE] = 0.3, [SB_SCALING_LINEAR] = 0.075, [SB_SCALING_SQRT] = 2.4 };
    for (int s = SB_SCALING_NONE; s <= SB_SCALING_SQRT; s++) {
        keys c = configure((sb_lr_scaling)s, 100, 0, 0);
        same(lr(&c, 0), peaks[s]);
        c.trainer.batch = 4; /* of which a step has sixteen */
        c.trainer.accumulate = 16;
        same(lr(&c, 0), peaks[s]);
    }
}

static void test_course(void **state)
{
    (void)state;
    const struct {
        int64_t steps, warm; /* of them */
        double warmup, final;
    } cases[] = { { 100, 10, 0.1, 0 },
                  { 100, 0, 0, 0.25 },
                  { 1000, 333, 0.333, 0.001 },
                  { 7, 1, 0.1, 1 },
                  { 20, 19, 0.95, 0.5 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t steps = cases[i].steps, warm = cases[i].warm;
        double final = cases[i].final;
        keys c = configure(SB_SCALING_NONE, steps, cases[i].warmup, final);
        for (int64_t k = 0; k < warm; k++)
            same(lr(&c, k), 0.3 * (double)(k + 1) / (double)warm);
        for (int64_t k = warm; k < steps - 1; k++) {
            double half = cos(M_PI_2 * (double)(k - warm) / (double)(steps - 1 - warm));
            same(lr(&c, k), 0.3 * (final + (1 - final) * half * half));
        }
        same(lr(&c, steps - 1), 0.3 * final);
    }
}

/* Runs that are all warm-up, or one step long. */
static void test_edges(void **state)
{
    (void)state;
    keys warming = configure(SB_SCALING_NONE, 10, 1, 0);
    same(lr(&warming, 0), 0.03);
    same(lr(&warming, 9), 0.3);
    keys one = configure(SB_SCALING_NONE, 1, 0, 0.5);
    same(lr(&one, 0), 0.15);
}

/* The backbone's share: every step of each phase, and phases of no step. */
static void test_backbone(void **state)
{
    (void)state;
    const sb_continue_keys off = { .heads = 10, .ramp = 10, .lr = 0.1 };
    assert_false(sb_schedule_heads_alone(&off, 0));
    same(sb_schedule_backbone(&off, 0), 1);
    const sb_continue_keys cases[] = { { true, .heads = 10, .ramp = 4, .lr = 0.1 },
                                       { true, .heads = 0, .ramp = 7, .lr = 0.5 },
                                       { true, .heads = 3, .ramp = 0, .lr = 1 },
                                       { true, .heads = 3, .ramp = 1, .lr = 0.25 },
                                       { true, .heads = 0, .ramp = 0, .lr = 0.3 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sb_continue_keys *c = &cases[i];
        int64_t k = 0;
        for (; k < c->heads; k++) {
            assert_true(sb_schedule_heads_alone(c, k));
            same(sb_schedule_backbone(c, k), 0);
        }
        double share = 0;
        for (; k < c->heads + c->ramp; k++) {
            share += c->lr;
            assert_false(sb_schedule_heads_alone(c, k));
            same(sb_schedule_backbone(c, k) * (double)c->ramp, share);
        }
        for (; k < c->heads + c->ramp + 20; k++)
            same(sb_schedule_backbone(c, k), c->lr);
        same(sb_schedule_backbone(c, (int64_t)1 << 50), c->lr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scaling),
        cmocka_unit_test(test_course),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_backbone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
