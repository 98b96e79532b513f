/* checks.c: see checks.h. A graph's gradients with respect to x and to every weight are compared with central
 * differences of its loss along random directions. The losses are smooth, so that a difference over 2 x 2^-7
 * is right to some 1e-4 of its size, while one lost reader's gradient would change it by some per cent at
 * least. */
#include "tests/graph/checks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/graph/net.h"
#include "trainer/graph/build.h"

#define STEP 0x1p-7f
#define DIFFERENCES_BOUND 2e-3
#define DEVICES_BOUND 1e-3 /* |a - b| / |b| of two devices: sums in another order, through a few norms */

static sb_device *device, *second;

static void check_differences(net_builder build, sb_shape x, uint64_t seed)
{
    net n;
    net_set_up(&n, device, build, x, seed, 0);
    net_point p = net_point_of(&n, seed);
    size_t count = p.x + p.weights;
    float *moved = calloc(count, sizeof *moved);
    assert_non_null(moved);
    net_differentiate(&n, &p);
    for (int part = 0; part < 2; part++) { /* along x, along the weights */
        size_t from = part ? p.x : 0, to = part ? count : p.x;
        sb_random random;
        double slope = 0, size = 0, loss[2];
        for (int side = 0; side < 2; side++) {
            sb_random_init(&random, seed, SB_RANDOM_WEIGHTS, 4, (uint32_t)part, 0);
            memcpy(moved, p.value, count * sizeof *moved);
            for (size_t i = from; i < to; i++) {
                float direction = sb_random_below(&random, 2) ? 1 : -1;
                moved[i] += (side ? -STEP : STEP) * direction / sqrtf((float)(to - from));
                slope += side ? 0 : (double)p.gradient[i] * direction / sqrt((double)(to - from));
                size += side ? 0 : (double)p.gradient[i] * p.gradient[i] / (double)(to - from);
            }
            net_move_to(&n, &p, moved);
            loss[side] = net_loss(&n);
        }
        double error = fabs((loss[0] - loss[1]) / (2 * (double)STEP) - slope);
        if (to > from && !(size > 0 && error < DIFFERENCES_BOUND * sqrt(size) + 1e-5))
            fail_msg("part %d: differences %.6g, gradient %.6g, size %.2g", part,
                     (loss[0] - loss[1]) / (2 * (double)STEP), slope, sqrt(size));
    }
    free(moved);
    net_point_free(&p);
    net_tear_down(&n);
}

static void test_readers(void **state)
{
    (void)state;
    check_differences(graph_three_readers, (sb_shape){ 3, 5, 5, 4, SB_F32 }, 1);
    check_differences(graph_read_twice, (sb_shape){ 2, 5, 5, 4, SB_F32 }, 2);
}

static void test_chain(void **state)
{
    (void)state;
    check_differences(graph_chain, (sb_shape){ 5, 1, 1, 8, SB_F32 }, 3);
}

static void test_unread(void **state)
{
    (void)state;
    net n;
    check_differences(graph_unread, (sb_shape){ 5, 1, 1, 8, SB_F32 }, 4);
    net_set_up(&n, device, graph_unread, (sb_shape){ 5, 1, 1, 8, SB_F32 }, 4, 0);
    net_point p = net_point_of(&n, 4);
    net_differentiate(&n, &p);
    for (int i = 0; i < n.store.count; i++)
        if (strstr(n.store.entries[i].name, "nobody"))
            for (size_t k = 0; k < n.store.entries[i].count; k++)
                assert_true(p.gradient[p.x + n.store.entries[i].offset + k] == 0);
    net_point_free(&p);
    net_tear_down(&n);
}

/* Only the norm that has running statistics moves them, and only by its own. */
static void test_standardised(void **state)
{
    (void)state;
    const sb_shape x = { 9, 1, 1, 6, SB_F32 };
    float running[2 * GRAPH_NORMED + 1] = { 0 }, batch[2 * GRAPH_NORMED];
    const size_t all = sizeof batch / sizeof *batch;
    net n;
    check_differences(graph_standardised, x, 6);
    net_set_up(&n, device, graph_standardised, x, 6, 0);
    assert_int_equal(n.store.floats[SB_ENTRY_STATISTIC], all);
    net_point p = net_point_of(&n, 6);
    net_differentiate(&n, &p);
    void *memory;
    net_allocate(&n, sizeof running, &memory);
    net_good(sb_plan_statistics(n.plan, memory));
    net_fetch(&n, memory, batch, all);
    net_put(&n, memory, running, all + 1);
    net_good(sb_plan_update_running(n.plan, memory));
    net_fetch(&n, memory, running, all + 1);
    for (size_t i = 0; i < all; i++) { /* a tenth of the batch's, its variance unbiased */
        float wanted = 0.1f * batch[i] * (i < GRAPH_NORMED ? 1 : 9.0f / 8);
        assert_true(batch[i] != 0 && fabsf(running[i] - wanted) <= 4 * 0x1p-24f * fabsf(wanted));
    }
    assert_true(running[all] == 0);
    n.device->release(n.device, memory);
    net_point_free(&p);
    net_tear_down(&n);
}

/* d/dt <t, stop(t)> = t, not 2 t. */
static void test_stopped(void **state)
{
    (void)state;
    net n;
    net_set_up(&n, device, graph_stopped, (sb_shape){ 3, 1, 1, 4, SB_F32 }, 5, 0);
    net_point p = net_point_of(&n, 5);
    double loss = net_differentiate(&n, &p), along = 0;
    for (size_t i = 0; i < p.x; i++)
        along += (double)p.value[i] * p.gradient[i];
    assert_true(fabs(along - loss) < 1e-5 * fabs(loss)); /* <x, dL/dx> = L where half of the 2 L is stopped */
    net_point_free(&p);
    net_tear_down(&n);
}

/* Two outputs, each with a gradient of its own; one of them is read on. */
static void test_two_outputs(void **state)
{
    (void)state;
    const sb_shape x = { 4, 1, 1, 6, SB_F32 };
    net n = { .device = device, .x = x };
    float incoming[2] = { 2, -3 }, wanted[24], got[24], value[24];
    sb_store_init(&n.store, device);
    net_good(sb_graph_create(&n.graph, &n.store));
    sb_t leaf = sb_leaf(n.graph, "x", x, true);
    sb_t first = sb_output(n.graph, sb_mean(n.graph, leaf), true);
    assert_true(sb_output(n.graph, sb_mean(n.graph, sb_combine(n.graph, first, SB_NONE, .alpha = 5)), true) >=
                0);
    assert_int_equal(sb_output(n.graph, first, true), SB_FAILED);
    net_good(sb_section_create(&n.section, &n.store, NULL, true, 1, NULL));
    net_good(sb_plan_create(&n.plan, n.graph, &x, &(sb_plan_options){ .training = true }));
    net_allocate(&n, sb_plan_arena_bytes(n.plan), &n.arena);
    net_allocate(&n, 1, &n.packed);
    net_allocate(&n, sizeof value, &n.leaf);
    net_allocate(&n, sizeof value, &n.gradient);
    net_allocate(&n, sizeof incoming, &n.incoming);
    for (int i = 0; i < 24; i++) {
        value[i] = (float)i;
        wanted[i] = (incoming[0] + 5 * incoming[1]) / 24;
    }
    net_put(&n, n.leaf, value, 24);
    net_put(&n, n.incoming, incoming, 2);
    sb_plan_bind(n.plan, n.arena, n.packed);
    const sb_feed feed = { .section = &n.section,
                           .leaf = { n.leaf },
                           .dleaf = { n.gradient },
                           .doutput = { n.incoming, (float *)n.incoming + 1 } };
    net_good(sb_plan_forward(n.plan, &feed));
    net_fetch(&n, sb_plan_output(n.plan, 0), got, 1);
    assert_true(fabsf(got[0] - 11.5f) < 1e-5f);
    net_good(sb_plan_backward(n.plan, &feed));
    net_fetch(&n, n.gradient, got, 24);
    for (int i = 0; i < 24; i++)
        assert_true(fabsf(got[i] - wanted[i]) < 1e-6f);
    net_tear_down(&n);
}

/* ---- in place ------------------------------------------------------------------------------------------ */

/* Of a leaf; what norms work in is small beside it. */
static const sb_shape large = { 4, 32, 32, 8, SB_F32 };

/* The plan's arena has room for so many tensors and no more. */
static void check_tensors(net_builder build, size_t tensors)
{
    net n;
    net_set_up(&n, device, build, large, 7, 0);
    const size_t one = sb_shape_bytes(&large), arena = sb_plan_arena_bytes(n.plan);
    if (arena < tensors * one || arena >= (tensors + 1) * one)
        fail_msg("%zu bytes, %.2f tensors in place of %zu", arena, (double)arena / (double)one, tensors);
    net_tear_down(&n);
}

/* A gradient takes the place of what its turn reads last: of three norms the way forth's three tensors are
 * the most at once; where a norm gives two gradients, they and the value that the next one back needs. */
static void test_in_place(void **state)
{
    (void)state;
    check_tensors(graph_norms, 3);
    check_tensors(graph_residual, 3);
    check_differences(graph_norms, (sb_shape){ 3, 5, 5, 4, SB_F32 }, 8);
    check_differences(graph_residual, (sb_shape){ 3, 5, 5, 4, SB_F32 }, 9);
}

/* No gradient takes an output's place, which the caller reads behind the way back. */
static void test_output_stays(void **state)
{
    (void)state;
    enum { COUNT = 4 * 32 * 32 * 8 };
    float *before = calloc((size_t)2 * COUNT, sizeof *before);
    assert_non_null(before);
    net n;
    net_set_up(&n, device, graph_residual_relu, large, 10, 0);
    net_point p = net_point_of(&n, 10);
    net_move_to(&n, &p, p.value);
    net_loss(&n);
    net_fetch(&n, sb_plan_output(n.plan, 0), before, COUNT);
    net_differentiate(&n, &p);
    net_fetch(&n, sb_plan_output(n.plan, 0), before + COUNT, COUNT);
    assert_memory_equal(before, before + COUNT, COUNT * sizeof *before);
    net_point_free(&p);
    net_tear_down(&n);
    free(before);
}

/* ---- random graphs ------------------------------------------------------------------------------------- */

#define RANDOM_GRAPHS 200

static void test_random(void **state)
{
    (void)state;
    const sb_shape x = { 3, 6, 6, 3, SB_F32 };
    int made_again = 0;
    for (uint64_t seed = 1; seed <= RANDOM_GRAPHS; seed++) {
        net plain, again;
        net_set_up(&plain, device, graph_anything, x, seed, 0);
        net_set_up(&again, device, graph_anything, x, seed, seed);
        net_point p = net_point_of(&plain, seed), q = net_point_of(&again, seed);
        double a = net_differentiate(&plain, &p), b = net_differentiate(&again, &q);
        assert_true(a == b);
        assert_memory_equal(p.gradient, q.gradient, (p.x + p.weights) * sizeof(float));
        made_again += sb_plan_turns(again.plan) > sb_plan_turns(plain.plan);
        if (second) {
            net other;
            net_set_up(&other, second, graph_anything, x, seed, 0);
            net_point o = net_point_of(&other, seed);
            net_differentiate(&other, &o);
            double off = net_distance(o.gradient, p.gradient, p.x),
                   weights = net_distance(o.gradient + p.x, p.gradient + p.x, p.weights);
            if (!(off < DEVICES_BOUND && weights < DEVICES_BOUND))
                fail_msg("graph %d: the devices differ by %.1e at x, %.1e at the weights", (int)seed, off,
                         weights);
            net_point_free(&o);
            net_tear_down(&other);
        }
        net_point_free(&p);
        net_point_free(&q);
        net_tear_down(&plain);
        net_tear_down(&again);
    }
    assert_true(made_again > RANDOM_GRAPHS / 2);
}

int sb_graph_checks(sb_device *on, sb_device *other)
{
    device = on;
    second = other;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers),      cmocka_unit_test(test_chain),
        cmocka_unit_test(test_unread),       cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_two_outputs),  cmocka_unit_test(test_random),
        cmocka_unit_test(test_standardised), cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_output_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
