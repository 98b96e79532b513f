/* test_calls.c: two steps of a four-layer network on the emulated device, in one process. They are right,
 * repeat in any order of threads and streams, and leave nothing alive. They are also run with the N-th call
 * of the CUDA runtime, cuBLAS or cuDNN failing, for every N. (Where plans are timed: test_plans.c.) */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/device.h"
#include "proto/error.h"
#include "tests/emulated/cache.h"
#include "tests/emulated/emulation.h"
#include "kernels/op/update.h"
#include "trainer/graph/build.h"
#include "trainer/graph/plan.h"

#define N 3
#define SIDE 9
#define WIDTH 16
#define EMBEDDINGS ((size_t)N * WIDTH)
#define PIXELS ((size_t)N * SIDE * SIDE * 3)
#define WEIGHTS_MAX 8192

typedef struct {
    sb_device *device;
    sb_store store;
    sb_section section;
    sb_graph *graph;
    sb_plan *plan;
    sb_update_array arrays[32];
    sb_update_how how;
    sb_call update;
    void *state, *arena, *packed, *pixels, *gradient;
} net;

/* What two steps leave. */
typedef struct {
    float weights[WEIGHTS_MAX], embeddings[EMBEDDINGS];
} result;

static uint8_t host_pixels[PIXELS];
static long planned, computed; /* calls until the network was planned, and until the last result was there */

/* Convolutions, norms, and a product behind them. */
static int build(net *n)
{
    if (sb_graph_create(&n->graph, &n->store) != 0)
        return -1;
    const sb_input_how normalise = { .mean = { 0.5f, 0.5f, 0.5f },
                                     .std = { 0.25f, 0.25f, 0.25f },
                                     .type = SB_F32 };
    sb_graph *g = n->graph;
    sb_t t = sb_leaf(g, "pixels", (sb_shape){ N, SIDE, SIDE, 3, SB_U8 }, false);
    t = SB_APPLY(g, SB_OP_INPUT, "input", 0, t, SB_NONE, &normalise);
    t = sb_batchnorm(g, sb_conv(g, t, "a", .out = 8, .kernel = 3, .stride = 1, .pad = 1), SB_NONE, "an",
                     .relu = true);
    t = sb_batchnorm(g, sb_conv(g, t, "b", .out = 8, .kernel = 3, .stride = 2, .pad = 1), SB_NONE, "bn",
                     .relu = true);
    t = sb_batchnorm(g, sb_conv(g, t, "c", .out = WIDTH, .kernel = 1, .stride = 1), SB_NONE, "cn",
                     .relu = true);
    return sb_output(g, sb_linear(g, sb_avgpool(g, t), "d", .out = WIDTH, .bias = true), true) < 0 ? -1 : 0;
}

static int allocate(sb_device *d, size_t bytes, void **out) { return d->alloc(d, bytes, out); }

static int set_up(net *n, sb_device *d)
{
    const sb_shape pixels = { N, SIDE, SIDE, 3, SB_U8 };
    const sb_plan_options options = { .training = true };
    if (build(n) != 0 || sb_section_create(&n->section, &n->store, NULL, true, 1, NULL) != 0 ||
        sb_plan_create(&n->plan, n->graph, &pixels, &options) != 0)
        return -1;
    planned = emulation_calls();
    size_t floats = n->store.floats[SB_ENTRY_WEIGHT];
    size_t available;
    if (d->available(d, &available) != 0 || allocate(d, sb_plan_arena_bytes(n->plan), &n->arena) != 0 ||
        allocate(d, sb_plan_packed_bytes(n->plan), &n->packed) != 0 ||
        allocate(d, floats * sizeof(float), &n->state) != 0 || allocate(d, PIXELS, &n->pixels) != 0 ||
        allocate(d, EMBEDDINGS * sizeof(float), &n->gradient) != 0 ||
        d->zero(d, n->state, floats * sizeof(float)) != 0 || d->pin(d, host_pixels, sizeof host_pixels) != 0)
        return -1;
    sb_plan_bind(n->plan, n->arena, n->packed);
    n->how.arrays = n->arrays;
    for (int i = 0; i < n->store.count; i++) {
        const sb_entry *e = &n->store.entries[i];
        if (e->kind == SB_ENTRY_WEIGHT)
            n->arrays[n->how.count++] = (sb_update_array){ .weight = n->section.weight + e->offset,
                                                           .gradient = n->section.gradient + e->offset,
                                                           .state = (float *)n->state + e->offset,
                                                           .state_stride = floats,
                                                           .count = e->count,
                                                           .decayed = e->extent.decayed,
                                                           .rate = 1 };
    }
    n->update.how = &n->how;
    const sb_kernel *update = d->kernels[SB_OP_UPDATE];
    if (!update->pack)
        return 0;
    return allocate(d, update->packed(d, &n->update), &n->update.packed) != 0 ? -1
                                                                              : update->pack(d, &n->update);
}

/* Pixels come up on a stream of their own; the loss is |embeddings|^2 / 2. */
static int step(net *n, sb_device *d, int number)
{
    const sb_feed feed = { .section = &n->section, .leaf = { n->pixels }, .doutput = { n->gradient } };
    n->how.values = (sb_update_values){ .rule = SB_UPDATE_LARS,
                                        .lr = 0.1f,
                                        .momentum = 0.9f,
                                        .weight_decay = 0.01f,
                                        .trust = 0.1f,
                                        .step = number };
    if (sb_plan_pack(n->plan, &n->section) != 0 || d->order(d, SB_STREAM_UPLOAD, SB_STREAM_COMPUTE) != 0 ||
        d->copy(d, SB_STREAM_UPLOAD, n->pixels, host_pixels, PIXELS, SB_TO_DEVICE) != 0 ||
        d->order(d, SB_STREAM_COMPUTE, SB_STREAM_UPLOAD) != 0 ||
        d->zero(d, n->section.gradient, n->store.floats[SB_ENTRY_WEIGHT] * sizeof(float)) != 0 ||
        sb_plan_forward(n->plan, &feed) != 0 ||
        d->copy(d, SB_STREAM_COMPUTE, n->gradient, sb_plan_output(n->plan, 0), EMBEDDINGS * sizeof(float),
                SB_ON_DEVICE) != 0 ||
        sb_plan_backward(n->plan, &feed) != 0 || sb_plan_update_running(n->plan, n->section.statistic) != 0)
        return -1;
    return sb_forward(d, SB_OP_UPDATE, &n->update);
}

static int download(net *n, sb_device *d, result *out)
{
    size_t floats = n->store.floats[SB_ENTRY_WEIGHT];
    assert_true(floats <= WEIGHTS_MAX);
    if (d->order(d, SB_STREAM_DOWNLOAD, SB_STREAM_COMPUTE) != 0 ||
        d->copy(d, SB_STREAM_DOWNLOAD, out->weights, n->section.weight, floats * sizeof(float), SB_TO_HOST) !=
            0 ||
        d->copy(d, SB_STREAM_DOWNLOAD, out->embeddings, sb_plan_output(n->plan, 0), sizeof out->embeddings,
                SB_TO_HOST) != 0 ||
        d->mark(d, SB_STREAM_DOWNLOAD, 1) != 0)
        return -1;
    int rc = d->wait_mark(d, 1);
    computed = emulation_calls();
    return rc;
}

/* Opens a device, takes two steps, gives everything back. */
static int two_steps(int (*open)(sb_device **), result *out)
{
    net n = { 0 };
    sb_device *d = NULL;
    memset(out, 0, sizeof *out);
    int rc = open(&d);
    if (rc == 0) {
        sb_store_init(&n.store, d);
        rc = set_up(&n, d) != 0 || step(&n, d, 1) != 0 || step(&n, d, 2) != 0 || download(&n, d, out) != 0
                 ? -1
                 : 0;
        void *memory[] = { n.state, n.arena, n.packed, n.pixels, n.gradient, n.update.packed };
        for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
            if (memory[i])
                d->release(d, memory[i]);
        sb_plan_destroy(&n.plan);
        sb_section_free(&n.section, &n.store);
        sb_graph_destroy(&n.graph);
        sb_store_free(&n.store);
    }
    sb_device_close(&d);
    return rc;
}

static int open_cpu(sb_device **out) { return sb_device_cpu(out, 1); }

static void as_the_cpu(void **state)
{
    (void)state;
    static result cpu, cuda;
    assert_int_equal(two_steps(open_cpu, &cpu), 0);
    assert_int_equal(two_steps(sb_device_cuda, &cuda), 0);
    /* Sums have at most N * SIDE * SIDE = 243 and 72 terms; two steps double what the first leaves. Values
     * are about 1. */
    for (size_t i = 0; i < WEIGHTS_MAX; i++)
        assert_true(fabsf(cpu.weights[i] - cuda.weights[i]) <= 1e-5f);
    for (size_t i = 0; i < EMBEDDINGS; i++)
        assert_true(fabsf(cpu.embeddings[i] - cuda.embeddings[i]) <= 1e-5f);
    assert_int_equal(emulation_alive(), 0);
}

static void in_any_order(void **state)
{
    (void)state;
    static result first, other;
    assert_int_equal(two_steps(sb_device_cuda, &first), 0);
    for (int i = 0; i < 6; i++) {
        emulation_set_order(i == 0 ? EMULATION_REVERSE : EMULATION_RANDOM, (uint64_t)i);
        assert_int_equal(two_steps(sb_device_cuda, &other), 0);
        assert_memory_equal(&first, &other, sizeof first);
    }
    emulation_set_order(EMULATION_FORWARD, 0);
}

/* A plan that cannot be built is one that another stands in for; behind the planning nothing stands in for
 * what fails, but for what is recorded, which then is launched piece by piece, and for what is called when
 * all is over. */
static void any_call_fails(void **state)
{
    (void)state;
    static result right, now;
    long before = emulation_calls();
    assert_int_equal(two_steps(sb_device_cuda, &right), 0);
    long calls = emulation_calls() - before, planning = planned - before, computing = computed - before,
         survived = 0, recording = 0;
    for (long n = 1; n <= calls; n++) {
        emulation_fail_call(n);
        int rc = two_steps(sb_device_cuda, &now);
        emulation_fail_call(0);
        if (rc == 0)
            survived++;
        else if (sb_error()[0] == '\0')
            fail_msg("call %ld failed without a word", n);
        const bool computes = n > planning && n <= computing,
                   recorded = computes && emulation_failed_recording();
        if (computes && recorded != (rc == 0))
            fail_msg("call %ld failed, and %s", n,
                     recorded ? "could have been done without" : "nobody noticed");
        recording += recorded;
        for (size_t i = 0; rc == 0 && i < WEIGHTS_MAX; i++)
            if (!(fabsf(right.weights[i] - now.weights[i]) <= 1e-5f))
                fail_msg("call %ld failed and the weights are wrong", n);
        if (emulation_alive() != 0)
            fail_msg("call %ld failed and %d things were left: %s", n, emulation_alive(), sb_error());
    }
    print_message("%ld calls, %ld of them to plan, %ld to record: %ld failures survived\n", calls, planning,
                  recording, survived);
    assert_true(recording > 0);
}

int main(void)
{
    cache_make();
    omp_set_num_threads(1); /* products too small to share */
    for (size_t i = 0; i < PIXELS; i++)
        host_pixels[i] = (uint8_t)(i * 7919 % 251);
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_the_cpu), cmocka_unit_test(in_any_order),
                                        cmocka_unit_test(any_call_fails) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cache_remove();
    return failed;
}
