/* sizes.c: see sizes.h. A plan's size is arithmetic: it is fast and creates nothing. A plan that is created
 * takes as much, to the byte. */
#include "tests/graph/sizes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "proto/error.h"
#include "trainer/configuration.h"
#include "trainer/graph/plan.h"

#define SIZES 1000
/* Of the processor's time, for all of them. A sanitizer's checks take several times the program's own. */
#ifdef __SANITIZE_ADDRESS__
#define SECONDS 10
#else
#define SECONDS 1
#endif

static sb_device *device;
static long (*library_calls)(void);

typedef struct {
    sb_settings settings;
    sb_store store;
    sb_graph *graph;
} net;

static void good(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

/* stem: NULL: the encoder has no choice of it. */
static void set_up(net *n, const char *encoder, const char *stem)
{
    char name[64], first[64];
    snprintf(name, sizeof name, "encoder.name=%s", encoder);
    snprintf(first, sizeof first, "encoder.stem=%s", stem ? stem : "");
    good(sb_settings_of(&n->settings, NULL, (const char *const[]){ name, "data.path=none", first },
                        stem ? 3 : 2));
    sb_store_init(&n->store, device);
    good(sb_graph_create(&n->graph, &n->store));
    good(sb_encoder_build(n->graph, &n->settings, SB_F32) < 0 ? -1 : 0);
}

static void tear_down(net *n)
{
    sb_graph_destroy(&n->graph);
    sb_store_free(&n->store);
}

static sb_shape pixels_of(const net *n, int views, int side)
{
    return (sb_shape){ views, side, side, n->settings.data.channels, SB_U8 };
}

static sb_plan_bytes size_of(const net *n, int views, int side, bool training)
{
    const sb_shape pixels = pixels_of(n, views, side);
    sb_plan_bytes bytes;
    good(sb_plan_size(&bytes, n->graph, &pixels, &(sb_plan_options){ .training = training }));
    return bytes;
}

/* ---- a thousand sizes ---------------------------------------------------------------------------------- */

static int plan_nothing(sb_device *d, sb_call *call)
{
    (void)d, (void)call;
    return sb_fail("nothing is to be planned");
}

static int give_nothing(sb_device *d, size_t bytes, void **out)
{
    (void)d, (void)bytes, (void)out;
    return sb_fail("nothing is to be taken");
}

static double seconds(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* On the device as it is, but that what it would plan and take fails. */
static void test_thousand(void **state)
{
    (void)state;
    const sb_device before = *device;
    sb_kernel kernels[SB_OPS];
    const sb_kernel *table[SB_OPS];
    net n;
    sb_plan *plan;
    for (int op = 0; op < SB_OPS; op++) {
        kernels[op] = *before.kernels[op];
        kernels[op].plan = plan_nothing;
        table[op] = &kernels[op];
    }
    set_up(&n, "resnet50", "imagenet");
    device->kernels = table;
    device->alloc = give_nothing;
    const sb_shape pixels = pixels_of(&n, 2, 64);
    assert_int_equal(sb_plan_create(&plan, n.graph, &pixels, &(sb_plan_options){ .training = true }), -1);
    long calls = library_calls ? library_calls() : 0;
    size_t least = SIZE_MAX, most = 0;
    double start = seconds();
    for (int i = 0; i < SIZES; i++) {
        sb_plan_bytes bytes = size_of(&n, 1 + i % 100, 64 * (1 + i / 100), true);
        least = bytes.arena < least ? bytes.arena : least;
        most = bytes.arena > most ? bytes.arena : most;
    }
    double took = seconds() - start;
    print_message("%d sizes of ResNet-50 in %.3f s; arenas of %zu to %zu MiB\n", SIZES, took, least >> 20,
                  most >> 20);
    assert_true(took < SECONDS);
    assert_true(least < (size_t)100 << 20 && most > (size_t)32 << 30);
    assert_true(!library_calls || library_calls() == calls);
    device->kernels = before.kernels;
    device->alloc = before.alloc;
    tear_down(&n);
}

/* ---- what is created ----------------------------------------------------------------------------------- */

static void check_size(const net *n, int views, int side, bool training)
{
    const sb_shape pixels = pixels_of(n, views, side);
    const sb_plan_bytes size = size_of(n, views, side, training);
    sb_plan *plan;
    good(sb_plan_create(&plan, n->graph, &pixels, &(sb_plan_options){ .training = training }));
    assert_int_equal(sb_plan_arena_bytes(plan), size.arena);
    assert_int_equal(sb_plan_packed_bytes(plan), size.packed);
    sb_plan_destroy(&plan);
}

static void test_created(void **state)
{
    (void)state;
    static const char *const encoders[][2] = {
        { "resnet18", "imagenet" }, { "resnet34", "small" },
        { "resnet50", "imagenet" }, { "mobilenetv4_conv_small", "imagenet" },
        { "convnext_atto" },        { "vit_tiny" }
    };
    static const struct {
        int views, side;
    } chunks[] = { { 1, 32 }, { 2, 96 }, { 5, 33 }, { 16, 64 }, { 8, 224 }, { 64, 128 }, { 2, 1024 } };
    for (size_t e = 0; e < sizeof encoders / sizeof *encoders; e++) {
        net n;
        set_up(&n, encoders[e][0], encoders[e][1]);
        for (size_t k = 0; k < sizeof chunks / sizeof *chunks; k++)
            for (int training = 0; training < 2; training++)
                check_size(&n, chunks[k].views, chunks[k].side, training == 1);
        tear_down(&n);
    }
}

int sb_size_checks(sb_device *on, long (*calls)(void))
{
    device = on;
    library_calls = calls;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_thousand), cmocka_unit_test(test_created) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
