/* The learning rate of every step against its formula, in another form: (1 + cos x) / 2 = cos^2(x / 2). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trainer/schedule.h"

static sb_config configure(sb_lr_scaling scaling, int64_t steps, double warmup, double final)
{
    sb_config c;
    sb_config_defaults(&c);
    c.optimiser.lr = 0.3;
    c.optimiser.scaling = scaling;
    c.optimiser.warmup = warmup;
    c.optimiser.final_lr = final;
    c.trainer.batch = 64;
    c.trainer.steps = steps;
    return c;
}

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
        sb_config c = configure((sb_lr_scaling)s, 100, 0, 0);
        same(sb_schedule_lr(&c, 0), peaks[s]);
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
        sb_config c = configure(SB_SCALING_NONE, steps, cases[i].warmup, final);
        for (int64_t k = 0; k < warm; k++)
            same(sb_schedule_lr(&c, k), 0.3 * (double)(k + 1) / (double)warm);
        for (int64_t k = warm; k < steps - 1; k++) {
            double half = cos(M_PI_2 * (double)(k - warm) / (double)(steps - 1 - warm));
            same(sb_schedule_lr(&c, k), 0.3 * (final + (1 - final) * half * half));
        }
        same(sb_schedule_lr(&c, steps - 1), 0.3 * final);
    }
}

/* Runs that are all warm-up, or one step long. */
static void test_edges(void **state)
{
    (void)state;
    sb_config warming = configure(SB_SCALING_NONE, 10, 1, 0);
    same(sb_schedule_lr(&warming, 0), 0.03);
    same(sb_schedule_lr(&warming, 9), 0.3);
    sb_config one = configure(SB_SCALING_NONE, 1, 0, 0.5);
    same(sb_schedule_lr(&one, 0), 0.15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scaling),
        cmocka_unit_test(test_course),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
