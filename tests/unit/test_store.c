/* test_store.c: how the entries of a store begin, by their rule; and what a node without a name calls its
 * weights. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trainer/graph/build.h"

#define COUNT (64 * 32 * 3 * 3)

/* Mean, deviation, least and largest of an entry of [64, 32, 3, 3]. */
typedef struct {
    double mean, deviation, least, most;
} spread;

static sb_device *device;

static spread begin(sb_init init, float size, uint64_t seed)
{
    sb_store store;
    sb_section section;
    const sb_extent extent = { .dims = 4, .side = { 64, 32, 3, 3 }, .init = init, .size = size };
    sb_store_init(&store, device);
    assert_int_equal(sb_store_add(&store, "w", SB_ENTRY_WEIGHT, &extent), 0);
    assert_int_equal(sb_section_create(&section, &store, NULL, false, seed, NULL), 0);
    const float *w = section.weight;
    spread s = { .least = w[0], .most = w[0] };
    double square = 0;
    for (int i = 0; i < COUNT; i++) {
        s.mean += (double)w[i] / COUNT;
        square += (double)w[i] * (double)w[i] / COUNT;
        s.least = fmin(s.least, (double)w[i]);
        s.most = fmax(s.most, (double)w[i]);
    }
    s.deviation = sqrt(fmax(square - s.mean * s.mean, 0));
    sb_section_free(&section, &store);
    sb_store_free(&store);
    return s;
}

static void near(double got, double wanted, double bound)
{
    if (!(fabs(got - wanted) <= bound))
        fail_msg("%g, wanted %g within %g", got, wanted, bound);
}

/* A mean of COUNT values is off by deviation / sqrt(COUNT), 0.7 % of it, and a deviation by 0.5 %: five times
 * that is left to chance, which the seed takes away anyway. */
static void is_normal(spread s, double deviation)
{
    near(s.mean, 0, 0.04 * deviation);
    near(s.deviation, deviation, 0.03 * deviation);
    assert_true(s.most > 3 * deviation && s.least < -3 * deviation); /* it has tails */
}

static void test_normal(void **state)
{
    (void)state;
    is_normal(begin(SB_INIT_NORMAL, 0.02f, 1), 0.02);
    is_normal(begin(SB_INIT_FAN_IN, 0, 1), sqrt(2.0 / (32 * 9)));
    is_normal(begin(SB_INIT_FAN_OUT, 0, 1), sqrt(2.0 / (64 * 9)));
}

static void test_uniform(void **state)
{
    (void)state;
    const spread s = begin(SB_INIT_UNIFORM, 0.25f, 1);
    near(s.mean, 0, 0.01);
    near(s.deviation, 0.25 / sqrt(3), 0.005);
    near(s.most, 0.25, 1e-3);
    near(s.least, -0.25, 1e-3);
    assert_true(s.most <= 0.25 && s.least >= -0.25);
}

static void test_constant(void **state)
{
    (void)state;
    static const struct {
        sb_init init;
        float size;
        double value;
    } rules[] = { { SB_INIT_ZERO, 5, 0 }, { SB_INIT_ONE, 5, 1 }, { SB_INIT_CONSTANT, 1e-6f, 1e-6 } };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const spread s = begin(rules[i].init, rules[i].size, 1);
        near(s.least, rules[i].value, 1e-12);
        near(s.most, rules[i].value, 1e-12);
    }
}

static void test_seed(void **state)
{
    (void)state;
    assert_true(begin(SB_INIT_UNIFORM, 1, 1).mean == begin(SB_INIT_UNIFORM, 1, 1).mean);
    assert_true(begin(SB_INIT_UNIFORM, 1, 1).mean != begin(SB_INIT_UNIFORM, 1, 2).mean);
}

/* A node without a name gives its weights its scope's, and without a scope none before them. */
static void test_names(void **state)
{
    (void)state;
    sb_store store;
    sb_graph *g = NULL;
    sb_store_init(&store, device);
    assert_int_equal(sb_graph_create(&g, &store), 0);
    sb_t t = sb_leaf(g, "x", (sb_shape){ 2, 4, 4, 8, SB_F32 }, true);
    sb_scope(g, "stages.0.blocks.1");
    t = sb_leave(g, sb_residual(g, t, t, "", .scaled = true, .initial = 0.5f));
    t = sb_residual(g, t, t, "ls1", .scaled = true, .initial = 0.5f);
    t = sb_residual(g, t, t, "", .scaled = true, .initial = 0.5f);
    assert_true(t >= 0);
    assert_int_equal(store.count, 3);
    assert_string_equal(store.entries[0].name, "stages.0.blocks.1.gamma");
    assert_string_equal(store.entries[1].name, "ls1.gamma");
    assert_string_equal(store.entries[2].name, "gamma");
    sb_graph_destroy(&g);
    sb_store_free(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal), cmocka_unit_test(test_uniform), cmocka_unit_test(test_constant),
        cmocka_unit_test(test_seed),   cmocka_unit_test(test_names),
    };
    if (sb_device_cpu(&device, 1) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sb_device_close(&device);
    return failed;
}
