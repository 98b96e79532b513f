/* test_calls.c: two steps of a three-layer network on the emulated device, in one process: right, repeatable in any order of threads and
 * streams, nothing left alive, and with the N-th call of the CUDA runtime, cuBLAS or cuDNN failing, for every N. (Where plans are timed:
 * test_plans.c.) */
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
#include "trainer/network.h"

#define N 3
#define SIDE 9
#define WIDTH 16
#define FEATURES ((size_t)N * WIDTH)
#define PRODUCT ((size_t)WIDTH * WIDTH)
#define PIXELS ((size_t)N * SIDE * SIDE * 3)
#define WEIGHTS_MAX 8192

typedef struct {
    sb_device *device;
    sb_parameters parameters;
    sb_network *network;
    sb_plan *plan;
    sb_update *update;
    void *state, *arena, *packed, *pixels, *features, *gradient, *statistics, *product;
} net;

/* What two steps leave. */
typedef struct {
    float weights[WEIGHTS_MAX], features[FEATURES], product[PRODUCT];
} result;

static uint8_t host_pixels[PIXELS];
static long planned, computed; /* calls until the network was planned, and until the last result was there */

static int build(net *n)
{
    int x = 0;
    n->device = NULL;
    if (sb_network_create(&n->network, &n->parameters, 3) != 0 || (x = sb_network_conv(n->network, 0, 8, 3, 1, 1, "a")) < 0 ||
        (x = sb_network_norm(n->network, x, -1, true, "an")) < 0 || (x = sb_network_conv(n->network, x, 8, 3, 2, 1, "b")) < 0 ||
        (x = sb_network_norm(n->network, x, -1, true, "bn")) < 0 || (x = sb_network_conv(n->network, x, WIDTH, 1, 1, 0, "c")) < 0 ||
        (x = sb_network_norm(n->network, x, -1, true, "cn")) < 0 || sb_network_avgpool(n->network, x) < 0)
        return -1;
    return 0;
}

static int take(sb_device *d, size_t bytes, void **out) { return d->alloc(d, bytes, out); }

static int set_up(net *n, sb_device *d)
{
    sb_parameters *p = &n->parameters;
    sb_parameter table[16] = { 0 };
    size_t available;
    if (build(n) != 0 || sb_parameters_allocate(p, true, 1) != 0 || sb_plan_create(&n->plan, n->network, N, SIDE, SB_F32, true) != 0)
        return -1;
    planned = emulation_calls();
    if (d->available(d, &available) != 0 || take(d, sb_plan_bytes(n->plan), &n->arena) != 0 || take(d, sb_plan_packed_bytes(n->plan), &n->packed) != 0 ||
        take(d, p->floats * sizeof(float), &n->state) != 0 || take(d, PIXELS, &n->pixels) != 0 ||
        take(d, FEATURES * sizeof(float), &n->features) != 0 || take(d, FEATURES * sizeof(float), &n->gradient) != 0 ||
        take(d, p->statistic_floats * sizeof(float), &n->statistics) != 0 || take(d, PRODUCT * sizeof(float), &n->product) != 0 ||
        d->zero(d, n->state, p->floats * sizeof(float)) != 0 || sb_plan_bind(n->plan, n->arena, n->packed) != 0 ||
        d->pin(d, host_pixels, sizeof host_pixels) != 0)
        return -1;
    for (int i = 0; i < p->param_count; i++) {
        size_t at = p->params[i].offset;
        table[i] = (sb_parameter){ .weight = p->weight + at, .gradient = p->gradient + at, .state = (float *)n->state + at,
                                   .state_stride = p->floats, .count = p->params[i].count, .decayed = p->params[i].kind == SB_PARAM_CONV };
    }
    return d->update_create(d, table, p->param_count, &n->update);
}

/* Pixels come up on a stream of their own; the loss is |features|^2 / 2. */
static int step(net *n, sb_device *d, int number)
{
    sb_parameters *p = &n->parameters;
    sb_update_values values = { .rule = SB_UPDATE_LARS, .lr = 0.1f, .momentum = 0.9f, .weight_decay = 0.01f, .trust = 0.1f, .step = number };
    if (sb_plan_pack(n->plan) != 0 || d->order(d, SB_STREAM_UPLOAD, SB_STREAM_COMPUTE) != 0 ||
        d->copy(d, SB_STREAM_UPLOAD, n->pixels, host_pixels, PIXELS, SB_TO_DEVICE) != 0 ||
        d->order(d, SB_STREAM_COMPUTE, SB_STREAM_UPLOAD) != 0 || d->zero(d, p->gradient, p->floats * sizeof(float)) != 0 ||
        sb_plan_forward(n->plan, n->pixels, n->features, n->statistics) != 0 ||
        d->copy(d, SB_STREAM_COMPUTE, n->gradient, n->features, FEATURES * sizeof(float), SB_ON_DEVICE) != 0 ||
        sb_plan_backward(n->plan, n->gradient) != 0 || sb_plan_update_running(n->plan, n->statistics, p->running) != 0 ||
        d->matmul(d, true, false, WIDTH, WIDTH, N, 1, n->features, n->features, 0, n->product) != 0)
        return -1;
    return d->update_run(d, n->update, &values);
}

static int download(net *n, sb_device *d, result *out)
{
    sb_parameters *p = &n->parameters;
    assert_true(p->floats <= WEIGHTS_MAX);
    if (d->order(d, SB_STREAM_DOWNLOAD, SB_STREAM_COMPUTE) != 0 ||
        d->copy(d, SB_STREAM_DOWNLOAD, out->weights, p->weight, p->floats * sizeof(float), SB_TO_HOST) != 0 ||
        d->copy(d, SB_STREAM_DOWNLOAD, out->features, n->features, sizeof out->features, SB_TO_HOST) != 0 ||
        d->copy(d, SB_STREAM_DOWNLOAD, out->product, n->product, sizeof out->product, SB_TO_HOST) != 0 ||
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
        sb_parameters_init(&n.parameters, d);
        rc = set_up(&n, d) != 0 || step(&n, d, 1) != 0 || step(&n, d, 2) != 0 || download(&n, d, out) != 0 ? -1 : 0;
        void *memory[] = { n.state, n.arena, n.packed, n.pixels, n.features, n.gradient, n.statistics, n.product };
        for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
            if (memory[i])
                d->release(d, memory[i]);
        if (n.update)
            d->update_destroy(d, n.update);
        sb_plan_destroy(&n.plan);
        sb_network_destroy(&n.network);
        sb_parameters_free(&n.parameters);
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
    /* Sums have at most N * SIDE * SIDE = 243 and 72 terms; two steps double what the first leaves. Values are about 1. */
    for (size_t i = 0; i < WEIGHTS_MAX; i++)
        assert_true(fabsf(cpu.weights[i] - cuda.weights[i]) <= 1e-5f);
    for (size_t i = 0; i < FEATURES; i++)
        assert_true(fabsf(cpu.features[i] - cuda.features[i]) <= 1e-5f && cpu.features[i] >= 0);
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

/* A plan that cannot be built is one that another stands in for; behind the planning nothing stands in for what fails, but for what is called
 * when all is over. */
static void any_call_fails(void **state)
{
    (void)state;
    static result right, now;
    long before = emulation_calls();
    assert_int_equal(two_steps(sb_device_cuda, &right), 0);
    long calls = emulation_calls() - before, planning = planned - before, computing = computed - before, survived = 0;
    for (long n = 1; n <= calls; n++) {
        emulation_fail_call(n);
        int rc = two_steps(sb_device_cuda, &now);
        emulation_fail_call(0);
        if (rc == 0)
            survived++;
        else if (sb_error()[0] == '\0')
            fail_msg("call %ld failed without a word", n);
        if (rc == 0 && n > planning && n <= computing)
            fail_msg("call %ld of %ld failed and nobody noticed", n, calls);
        for (size_t i = 0; rc == 0 && i < WEIGHTS_MAX; i++)
            if (!(fabsf(right.weights[i] - now.weights[i]) <= 1e-5f))
                fail_msg("call %ld failed and the weights are wrong", n);
        if (emulation_alive() != 0)
            fail_msg("call %ld failed and %d things were left: %s", n, emulation_alive(), sb_error());
    }
    print_message("%ld calls, %ld of them to plan: %ld failures of those survived\n", calls, planning, survived);
}

int main(void)
{
    cache_make();
    omp_set_num_threads(1); /* products too small to share */
    for (size_t i = 0; i < PIXELS; i++)
        host_pixels[i] = (uint8_t)(i * 7919 % 251);
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_the_cpu), cmocka_unit_test(in_any_order), cmocka_unit_test(any_call_fails) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cache_remove();
    return failed;
}
