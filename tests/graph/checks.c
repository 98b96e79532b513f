/* checks.c: see checks.h. Every graph here has one leaf, x, and one loss; its gradients with respect to x and
 * to every weight are compared with central differences of the loss along random directions. The losses are
 * smooth, so that a difference over 2 x 2^-7 is right to some 1e-4 of its size, while one lost reader's
 * gradient would change it by some per cent at least. */
#include "tests/graph/checks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/random.h"
#include "trainer/graph/build.h"
#include "trainer/graph/plan.h"

#define STEP 0x1p-7f
#define DIFFERENCES_BOUND 2e-3
#define DEVICES_BOUND 1e-3 /* |a - b| / |b| of two devices: sums in another order, through a few norms */

static sb_device *device, *second;

/* A graph with its weights and memory on a device. */
typedef struct {
    sb_device *device;
    sb_store store;
    sb_graph *graph;
    sb_section section;
    sb_plan *plan;
    sb_shape x;
    void *arena, *packed, *leaf, *gradient, *one;
} net;

typedef sb_t (*builder)(sb_graph *g, sb_t x, sb_random *random); /* returns the loss */

static void good(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

static void allocate(net *n, size_t bytes, void **out)
{
    good(n->device->alloc(n->device, bytes ? bytes : 1, out));
}

static void put(net *n, void *to, const float *from, size_t count)
{
    good(n->device->copy(n->device, SB_STREAM_COMPUTE, to, from, count * sizeof *from, SB_TO_DEVICE));
    good(n->device->wait(n->device, SB_STREAM_COMPUTE));
}

static void fetch(net *n, const void *from, float *to, size_t count)
{
    good(n->device->copy(n->device, SB_STREAM_COMPUTE, to, from, count * sizeof *to, SB_TO_HOST));
    good(n->device->wait(n->device, SB_STREAM_COMPUTE));
}

/* again: a bit for each node, drawn from `seed`, in which case it is made again; 0: none is. */
static void set_up(net *n, sb_device *on, builder build, sb_shape x, uint64_t seed, uint64_t again)
{
    sb_random random;
    const float one = 1;
    bool mask[SB_NODES_MAX] = { false };
    *n = (net){ .device = on, .x = x };
    sb_store_init(&n->store, on);
    good(sb_graph_create(&n->graph, &n->store));
    sb_random_init(&random, seed, SB_RANDOM_WEIGHTS, 1, 0, 0);
    sb_t leaf = sb_leaf(n->graph, "x", x, true);
    if (sb_output(n->graph, build(n->graph, leaf, &random), true) < 0)
        fail_msg("%s", sb_error());
    good(sb_section_create(&n->section, &n->store, NULL, true, seed));
    sb_random_init(&random, again, SB_RANDOM_WEIGHTS, 2, 0, 0);
    for (int i = 0; i < n->graph->count && again; i++)
        mask[i] = sb_random_below(&random, 2);
    const sb_plan_options options = { .training = true, .again = again ? mask : NULL };
    good(sb_plan_create(&n->plan, n->graph, &x, &options));
    allocate(n, sb_plan_arena_bytes(n->plan), &n->arena);
    allocate(n, sb_plan_packed_bytes(n->plan), &n->packed);
    allocate(n, sb_shape_bytes(&x), &n->leaf);
    allocate(n, sb_shape_bytes(&x), &n->gradient);
    allocate(n, sizeof one, &n->one);
    put(n, n->one, &one, 1);
    sb_plan_bind(n->plan, n->arena, n->packed);
}

static void tear_down(net *n)
{
    void *memory[] = { n->arena, n->packed, n->leaf, n->gradient, n->one };
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        n->device->release(n->device, memory[i]);
    sb_plan_destroy(&n->plan);
    sb_section_free(&n->section, &n->store);
    sb_graph_destroy(&n->graph);
    sb_store_free(&n->store);
}

static sb_feed feed_of(const net *n)
{
    return (sb_feed){
        .section = &n->section, .leaf = { n->leaf }, .dleaf = { n->gradient }, .doutput = { n->one }
    };
}

static double loss_of(net *n)
{
    const sb_feed feed = feed_of(n);
    float loss;
    good(sb_plan_pack(n->plan, &n->section));
    good(sb_plan_forward(n->plan, &feed));
    fetch(n, sb_plan_output(n->plan, 0), &loss, 1);
    return (double)loss;
}

/* x, weights, and both gradients, one behind the other. */
typedef struct {
    size_t x, weights;
    float *value, *gradient;
} point;

static point point_of(net *n, uint64_t seed)
{
    point p = { .x = sb_shape_elements(&n->x), .weights = n->store.floats[SB_ENTRY_WEIGHT] };
    sb_random random;
    p.value = calloc(p.x + p.weights, sizeof *p.value);
    p.gradient = calloc(p.x + p.weights, sizeof *p.gradient);
    assert_true(p.value && p.gradient);
    sb_random_init(&random, seed, SB_RANDOM_WEIGHTS, 3, 0, 0);
    for (size_t i = 0; i < p.x; i++)
        p.value[i] = 2 * sb_random_uniform(&random) - 1;
    fetch(n, n->section.weight, p.value + p.x, p.weights);
    return p;
}

static void move_to(net *n, const point *p, const float *value)
{
    put(n, n->leaf, value, p->x);
    put(n, n->section.weight, value + p->x, p->weights);
}

static double differentiate(net *n, point *p)
{
    const sb_feed feed = feed_of(n);
    move_to(n, p, p->value);
    good(n->device->zero(n->device, n->section.gradient, p->weights * sizeof(float)));
    double loss = loss_of(n);
    good(sb_plan_backward(n->plan, &feed));
    fetch(n, n->gradient, p->gradient, p->x);
    fetch(n, n->section.gradient, p->gradient + p->x, p->weights);
    return loss;
}

static void free_point(point *p)
{
    free(p->value);
    free(p->gradient);
}

static void check_differences(builder build, sb_shape x, uint64_t seed)
{
    net n;
    set_up(&n, device, build, x, seed, 0);
    point p = point_of(&n, seed);
    size_t count = p.x + p.weights;
    float *moved = calloc(count, sizeof *moved);
    assert_non_null(moved);
    differentiate(&n, &p);
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
            move_to(&n, &p, moved);
            loss[side] = loss_of(&n);
        }
        double error = fabs((loss[0] - loss[1]) / (2 * (double)STEP) - slope);
        if (to > from && !(size > 0 && error < DIFFERENCES_BOUND * sqrt(size) + 1e-5))
            fail_msg("part %d: differences %.6g, gradient %.6g, size %.2g", part,
                     (loss[0] - loss[1]) / (2 * (double)STEP), slope, sqrt(size));
    }
    free(moved);
    free_point(&p);
    tear_down(&n);
}

/* ---- graphs -------------------------------------------------------------------------------------------- */

/* A smooth scalar of any f32 rows. */
static sb_t finish(sb_graph *g, sb_t t) { return sb_mean(g, sb_softplus(g, t)); }

static sb_t three_readers(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_conv(g, x, "stem", .out = 8, .kernel = 3, .stride = 1, .pad = 1);
    sb_t a = sb_conv(g, t, "a", .out = 8, .kernel = 3, .stride = 1, .pad = 1),
         b = sb_conv(g, t, "b", .out = 8, .kernel = 1, .stride = 1);
    sb_t sum = sb_batchnorm(g, a, t, "norm", .relu = false);
    return finish(g, sb_avgpool(g, sb_combine(g, sum, b, .alpha = 1, .beta = 0.5f)));
}

static sb_t read_twice(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_conv(g, x, "a", .out = 8, .kernel = 3, .stride = 1, .pad = 1);
    t = sb_batchnorm(g, t, t, "norm", .relu = false);
    t = sb_avgpool(g, sb_combine(g, t, t, .alpha = 1, .beta = 2));
    return sb_combine(g, finish(g, t), sb_mean(g, sb_row_dot(g, t, t)), .alpha = 1, .beta = 0.1f);
}

#define CHAIN 300

static sb_t chain(sb_graph *g, sb_t x, sb_random *random)
{
    sb_t t = x;
    for (int i = 0; i < CHAIN; i++) {
        char name[16];
        snprintf(name, sizeof name, "l%d", i);
        if (i % 30 == 0)
            t = sb_linear(g, t, name, .out = 8, .bias = true);
        else
            t = sb_combine(g, t, SB_NONE, .alpha = sb_random_below(random, 2) ? 1.02f : 0.98f,
                           .constant = 0.01f);
    }
    return finish(g, t);
}

static sb_t unread(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_linear(g, x, "a", .out = 8, .bias = true);
    sb_linear(g, t, "nobody", .out = 8, .bias = true);
    return finish(g, t);
}

/* Through sb_stop no gradient goes: the loss of t and of a stopped copy. */
static sb_t stopped(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_linear(g, x, "a", .out = 8, .bias = false);
    return sb_mean(g, sb_row_dot(g, t, sb_stop(t)));
}

#define NORMED 8

/* The correlation of standardised columns with each other, behind a norm that gathers. */
static sb_t standardised(sb_graph *g, sb_t x, sb_random *random)
{
    (void)random;
    sb_t t = sb_linear(g, x, "a", .out = NORMED, .bias = true);
    t = sb_standardise(g, sb_softplus(g, sb_batchnorm(g, t, SB_NONE, "norm", .relu = false)));
    return finish(g, sb_product(g, t, t, .form = SB_PRODUCT_ROWS, .scale = 0.3f));
}

static void test_readers(void **state)
{
    (void)state;
    check_differences(three_readers, (sb_shape){ 3, 5, 5, 4, SB_F32 }, 1);
    check_differences(read_twice, (sb_shape){ 2, 5, 5, 4, SB_F32 }, 2);
}

static void test_chain(void **state)
{
    (void)state;
    check_differences(chain, (sb_shape){ 5, 1, 1, 8, SB_F32 }, 3);
}

static void test_unread(void **state)
{
    (void)state;
    net n;
    check_differences(unread, (sb_shape){ 5, 1, 1, 8, SB_F32 }, 4);
    set_up(&n, device, unread, (sb_shape){ 5, 1, 1, 8, SB_F32 }, 4, 0);
    point p = point_of(&n, 4);
    differentiate(&n, &p);
    for (int i = 0; i < n.store.count; i++)
        if (strstr(n.store.entries[i].name, "nobody"))
            for (size_t k = 0; k < n.store.entries[i].count; k++)
                assert_true(p.gradient[p.x + n.store.entries[i].offset + k] == 0);
    free_point(&p);
    tear_down(&n);
}

/* Only the norm that has running statistics moves them, and only by its own. */
static void test_standardised(void **state)
{
    (void)state;
    const sb_shape x = { 9, 1, 1, 6, SB_F32 };
    float running[2 * NORMED + 1] = { 0 }, batch[2 * NORMED];
    const size_t all = sizeof batch / sizeof *batch;
    net n;
    check_differences(standardised, x, 6);
    set_up(&n, device, standardised, x, 6, 0);
    assert_int_equal(n.store.floats[SB_ENTRY_STATISTIC], all);
    point p = point_of(&n, 6);
    differentiate(&n, &p);
    void *memory;
    allocate(&n, sizeof running, &memory);
    good(sb_plan_statistics(n.plan, memory));
    fetch(&n, memory, batch, all);
    put(&n, memory, running, all + 1);
    good(sb_plan_update_running(n.plan, memory));
    fetch(&n, memory, running, all + 1);
    for (size_t i = 0; i < all; i++) { /* a tenth of the batch's, its variance unbiased */
        float wanted = 0.1f * batch[i] * (i < NORMED ? 1 : 9.0f / 8);
        assert_true(batch[i] != 0 && fabsf(running[i] - wanted) <= 4 * 0x1p-24f * fabsf(wanted));
    }
    assert_true(running[all] == 0);
    n.device->release(n.device, memory);
    free_point(&p);
    tear_down(&n);
}

/* d/dt <t, stop(t)> = t, not 2 t. */
static void test_stopped(void **state)
{
    (void)state;
    net n;
    set_up(&n, device, stopped, (sb_shape){ 3, 1, 1, 4, SB_F32 }, 5, 0);
    point p = point_of(&n, 5);
    double loss = differentiate(&n, &p), along = 0;
    for (size_t i = 0; i < p.x; i++)
        along += (double)p.value[i] * p.gradient[i];
    assert_true(fabs(along - loss) < 1e-5 * fabs(loss)); /* <x, dL/dx> = L where half of the 2 L is stopped */
    free_point(&p);
    tear_down(&n);
}

/* Two outputs, each with a gradient of its own; one of them is read on. */
static void test_two_outputs(void **state)
{
    (void)state;
    const sb_shape x = { 4, 1, 1, 6, SB_F32 };
    net n = { .device = device, .x = x };
    float incoming[2] = { 2, -3 }, wanted[24], got[24], value[24];
    sb_store_init(&n.store, device);
    good(sb_graph_create(&n.graph, &n.store));
    sb_t leaf = sb_leaf(n.graph, "x", x, true);
    sb_t first = sb_output(n.graph, sb_mean(n.graph, leaf), true);
    assert_true(sb_output(n.graph, sb_mean(n.graph, sb_combine(n.graph, first, SB_NONE, .alpha = 5)), true) >=
                0);
    assert_int_equal(sb_output(n.graph, first, true), SB_FAILED);
    good(sb_section_create(&n.section, &n.store, NULL, true, 1));
    good(sb_plan_create(&n.plan, n.graph, &x, &(sb_plan_options){ .training = true }));
    allocate(&n, sb_plan_arena_bytes(n.plan), &n.arena);
    allocate(&n, 1, &n.packed);
    allocate(&n, sizeof value, &n.leaf);
    allocate(&n, sizeof value, &n.gradient);
    allocate(&n, sizeof incoming, &n.one);
    for (int i = 0; i < 24; i++) {
        value[i] = (float)i;
        wanted[i] = (incoming[0] + 5 * incoming[1]) / 24;
    }
    put(&n, n.leaf, value, 24);
    put(&n, n.one, incoming, 2);
    sb_plan_bind(n.plan, n.arena, n.packed);
    const sb_feed feed = { .section = &n.section,
                           .leaf = { n.leaf },
                           .dleaf = { n.gradient },
                           .doutput = { n.one, (float *)n.one + 1 } };
    good(sb_plan_forward(n.plan, &feed));
    fetch(&n, sb_plan_output(n.plan, 0), got, 1);
    assert_true(fabsf(got[0] - 11.5f) < 1e-5f);
    good(sb_plan_backward(n.plan, &feed));
    fetch(&n, n.gradient, got, 24);
    for (int i = 0; i < 24; i++)
        assert_true(fabsf(got[i] - wanted[i]) < 1e-6f);
    tear_down(&n);
}

/* ---- random graphs ------------------------------------------------------------------------------------- */

#define RANDOM_GRAPHS 200
#define RANDOM_NODES 12
#define CHANNELS 8

/* Convolutions, norms with and without a residual and without weights, and sums over tensors of one shape,
 * each of any that came before. */
static sb_t anything(sb_graph *g, sb_t x, sb_random *random)
{
    sb_t t[RANDOM_NODES + 1];
    char name[16];
    t[0] = sb_conv(g, x, "stem", .out = CHANNELS, .kernel = 3, .stride = 1, .pad = 1);
    for (int i = 1; i <= RANDOM_NODES; i++) {
        sb_t a = t[sb_random_below(random, (uint32_t)i)], b = t[sb_random_below(random, (uint32_t)i)];
        snprintf(name, sizeof name, "n%d", i);
        switch (sb_random_below(random, 5)) {
        case 0: t[i] = sb_conv(g, a, name, .out = CHANNELS, .kernel = 3, .stride = 1, .pad = 1); break;
        case 1: t[i] = sb_batchnorm(g, a, SB_NONE, name, .relu = false); break;
        case 2: t[i] = sb_batchnorm(g, a, b, name, .relu = false); break;
        case 3: t[i] = sb_standardise(g, a); break;
        default: t[i] = sb_combine(g, a, b, .alpha = 0.5f, .beta = 0.5f); break;
        }
    }
    return finish(g, sb_avgpool(g, t[RANDOM_NODES]));
}

static double distance(const float *a, const float *b, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(difference / (size + 1e-20));
}

static void test_random(void **state)
{
    (void)state;
    const sb_shape x = { 3, 6, 6, 3, SB_F32 };
    int made_again = 0;
    for (uint64_t seed = 1; seed <= RANDOM_GRAPHS; seed++) {
        net plain, again;
        set_up(&plain, device, anything, x, seed, 0);
        set_up(&again, device, anything, x, seed, seed);
        point p = point_of(&plain, seed), q = point_of(&again, seed);
        double a = differentiate(&plain, &p), b = differentiate(&again, &q);
        assert_true(a == b);
        assert_memory_equal(p.gradient, q.gradient, (p.x + p.weights) * sizeof(float));
        made_again += sb_plan_turns(again.plan) > sb_plan_turns(plain.plan);
        if (second) {
            net other;
            set_up(&other, second, anything, x, seed, 0);
            point o = point_of(&other, seed);
            differentiate(&other, &o);
            double off = distance(o.gradient, p.gradient, p.x),
                   weights = distance(o.gradient + p.x, p.gradient + p.x, p.weights);
            if (!(off < DEVICES_BOUND && weights < DEVICES_BOUND))
                fail_msg("graph %d: the devices differ by %.1e at x, %.1e at the weights", (int)seed, off,
                         weights);
            free_point(&o);
            tear_down(&other);
        }
        free_point(&p);
        free_point(&q);
        tear_down(&plain);
        tear_down(&again);
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
        cmocka_unit_test(test_standardised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
