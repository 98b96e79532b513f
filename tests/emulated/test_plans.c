/* test_plans.c: which of cuDNN's plans is chosen: the one that was kept; else, of the fastest, the one with
 * the smallest workspace; else the first. The double of cuDNN says how long each plan takes. Each plan gives
 * other bits, by which a test tells which one ran. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/cuda/blas.h"
#include "kernels/cuda/choices.h"
#include "kernels/cuda/device.h"
#include "kernels/op/conv.h"
#include "proto/error.h"
#include "proto/rundir.h"
#include "tests/emulated/cache.h"
#include "tests/emulated/emulation.h"

#define N 2
#define SIDE 7
#define CHANNELS 8
#define KERNEL 3
#define IMAGES ((size_t)N * SIDE * SIDE * CHANNELS)
#define FILTER ((size_t)CHANNELS * KERNEL * KERNEL * CHANNELS)
#define MEMORY ((size_t)64 << 20) /* of the GPU: a small one, as its double writes over each workspace */
#define SHARE (MEMORY / 8)        /* the most that a workspace may take */

/* What a convolution gives in its three directions, in f32. */
typedef struct {
    float y[IMAGES], dx[IMAGES], dw[FILTER];
} outcome;

static outcome by_plan[EMULATION_PLANS];                /* by what every plan gives */
static char planning[sizeof((sb_device *)0)->planning]; /* what the device said last */

static const sb_conv_how how = { .out = CHANNELS, .kernel = KERNEL, .stride = 1, .pad = 1 };

/* Plans it. `c` is what `compute` and `unplan` take. */
static int plan(sb_device *d, int n, sb_type type, sb_call *c)
{
    sb_shape x = { n, SIDE, SIDE, CHANNELS, type };
    *c = (sb_call){ .how = &how, .xs = { x }, .ys = x, .gradient = { true } };
    return d->kernels[SB_OP_CONV]->plan(d, c);
}

static void unplan(sb_device *d, const sb_call *c) { d->kernels[SB_OP_CONV]->unplan(d, c->planned); }

static int compute(sb_device *d, const sb_call *planned, outcome *out)
{
    static float x[IMAGES], dy[IMAGES], w[FILTER];
    for (size_t i = 0; i < IMAGES; i++) {
        x[i] = sinf((float)i);
        dy[i] = cosf(3 * (float)i);
    }
    for (size_t i = 0; i < FILTER; i++)
        w[i] = sinf(7 * (float)i);
    /* x, dy, y, dx, w, dw, packed, scratch */
    size_t images = IMAGES * sizeof(float), filter = FILTER * sizeof(float);
    const sb_kernel *k = d->kernels[SB_OP_CONV];
    size_t packed = k->packed(d, planned), scratch = k->scratch(d, planned);
    size_t bytes[] = { images, images, images, images, filter, filter, packed, scratch };
    void *memory[8] = { NULL };
    int rc = 0;
    for (int i = 0; i < 8 && rc == 0; i++)
        rc = d->alloc(d, bytes[i], &memory[i]);
    sb_call c = *planned;
    c.x[0] = memory[0];
    c.dy = memory[1];
    c.y = memory[2];
    c.dx[0] = memory[3];
    c.w[0] = memory[4];
    c.dw[0] = memory[5];
    c.packed = memory[6];
    c.scratch = memory[7];
    if (rc == 0 && (d->copy(d, SB_STREAM_COMPUTE, memory[0], x, images, SB_TO_DEVICE) != 0 ||
                    d->copy(d, SB_STREAM_COMPUTE, memory[1], dy, images, SB_TO_DEVICE) != 0 ||
                    d->copy(d, SB_STREAM_COMPUTE, memory[4], w, filter, SB_TO_DEVICE) != 0 ||
                    d->zero(d, memory[5], filter) != 0 || k->pack(d, &c) != 0 || k->forward(d, &c) != 0 ||
                    k->backward(d, &c) != 0 ||
                    d->copy(d, SB_STREAM_COMPUTE, out->y, memory[2], images, SB_TO_HOST) != 0 ||
                    d->copy(d, SB_STREAM_COMPUTE, out->dx, memory[3], images, SB_TO_HOST) != 0 ||
                    d->copy(d, SB_STREAM_COMPUTE, out->dw, memory[5], filter, SB_TO_HOST) != 0 ||
                    d->wait(d, SB_STREAM_COMPUTE) != 0))
        rc = -1;
    for (int i = 0; i < 8; i++)
        if (memory[i])
            d->release(d, memory[i]);
    return rc;
}

static size_t memory_left(void)
{
    size_t available, total;
    return cudaMemGetInfo(&available, &total) == cudaSuccess ? available : 0;
}

/* A run of the program: opens a device, plans, computes, gives everything back. `taken`: memory that is not
 * there, in bytes. */
static int run(size_t taken, outcome *out)
{
    sb_device *d = NULL;
    sb_call conv = { 0 };
    void *memory = NULL;
    memset(out, 0, sizeof *out);
    int rc = sb_device_cuda(&d);
    if (rc == 0 && taken > 0)
        rc = d->alloc(d, taken, &memory);
    size_t left = memory_left();
    if (rc == 0)
        rc = plan(d, N, SB_F32, &conv);
    if (memory_left() != left)
        fail_msg("planning leaves memory behind, or takes some of others");
    if (rc == 0)
        snprintf(planning, sizeof planning, "%s", d->planning);
    if (rc == 0 && memory) {
        d->release(d, memory);
        memory = NULL;
    }
    if (rc == 0)
        rc = compute(d, &conv, out);
    if (memory)
        d->release(d, memory);
    if (conv.planned)
        unplan(d, &conv);
    sb_device_close(&d);
    if (emulation_alive() != 0)
        fail_msg("%d things were left: %s", emulation_alive(), rc == 0 ? "" : sb_error());
    return rc;
}

/* Which plan a run took in all directions, from 1. */
static int plan_of(const outcome *o)
{
    for (int i = 0; i < EMULATION_PLANS; i++) {
        const void *bytes = o, *wanted = &by_plan[i];
        if (memcmp(bytes, wanted, sizeof *o) == 0)
            return i + 1;
    }
    return -1;
}

static int taken_with(size_t memory_taken)
{
    static outcome o;
    if (run(memory_taken, &o) != 0)
        fail_msg("%s", sb_error());
    return plan_of(&o);
}

static int taken(void) { return taken_with(0); }

static void expect_said(const char *text)
{
    if (!strstr(planning, text))
        fail_msg("not said: %s\n in: %s", text, planning);
}

static void set_times(float a, float b, float c, float d, float e)
{
    const float times[] = { a, b, c, d, e };
    for (int i = 0; i < EMULATION_PLANS; i++)
        emulation_plans[i].milliseconds = times[i];
}

static int fresh(void **state)
{
    (void)state;
    emulation_reset_plans();
    emulation_gpu.totalGlobalMem = MEMORY;
    cache_use();
    cache_empty();
    return 0;
}

static void plans_differ(void **state)
{
    (void)state;
    for (int i = 0; i < EMULATION_PLANS; i++) {
        emulation_reset_plans();
        cache_empty();
        for (int k = 0; k < EMULATION_PLANS; k++)
            emulation_plans[k].unbuildable = k != i;
        assert_int_equal(run(0, &by_plan[i]), 0);
        expect_said("0 plans timed"); /* there is nothing to choose from */
        assert_int_equal(plan_of(&by_plan[i]), i + 1);
        for (int k = 0; k < i; k++) {
            assert_memory_not_equal(by_plan[i].y, by_plan[k].y, sizeof by_plan->y);
            assert_memory_not_equal(by_plan[i].dx, by_plan[k].dx, sizeof by_plan->dx);
            assert_memory_not_equal(by_plan[i].dw, by_plan[k].dw, sizeof by_plan->dw);
        }
    }
}

/* Of the first four. */
static void fastest_wins(void **state)
{
    (void)state;
    set_times(3, 2, 1, 2, 0.1f);
    assert_int_equal(taken(), 3);
    expect_said("12 plans timed for 3 operations, 0 operations as kept in ");
    expect_said(cache_folder);
}

static void set_workspaces(size_t a, size_t b, size_t c, size_t d, size_t e)
{
    const size_t workspaces[] = { a, b, c, d, e };
    for (int i = 0; i < EMULATION_PLANS; i++)
        emulation_plans[i].workspace = workspaces[i];
}

/* Of those that take at most 10 % longer than the fastest. */
static void smallest_workspace_wins(void **state)
{
    (void)state;
    set_workspaces(4000, 3000, 2000, 0, 0);
    set_times(1, 1.05f, 1.09f, 1.11f, 1);
    assert_int_equal(taken(), 3);
    cache_empty();
    set_times(1.2f, 1.15f, 1.12f, 1, 1);
    assert_int_equal(taken(), 4);
    cache_empty();
    set_times(1, 1.11f, 1.5f, 2, 1);
    assert_int_equal(taken(), 1);
    cache_empty();
    set_times(1.09f, 1.02f, 1.01f, 1, 1); /* of equals the first */
    set_workspaces(4000, 2000, 3000, 2000, 2000);
    assert_int_equal(taken(), 2);
}

/* An eighth of the memory is the most, unless there is nothing else. */
static void workspace_is_bounded(void **state)
{
    (void)state;
    set_times(1, 3, 2, 3, 3);
    set_workspaces(SHARE, 0, 0, 0, 0);
    assert_int_equal(taken(), 1);
    cache_empty();
    set_workspaces(SHARE + 1, 0, 0, 0, 0);
    assert_int_equal(taken(), 3);
    cache_empty();
    emulation_gpu.totalGlobalMem = 2 * MEMORY;
    assert_int_equal(taken(), 1);
    cache_empty();
    set_workspaces(2 * SHARE, 2 * SHARE + 1, SHARE + 1, 2 * SHARE + 1, 2 * SHARE + 1);
    assert_int_equal(taken(), 1);
    cache_empty();
    emulation_gpu.totalGlobalMem = MEMORY;
    assert_int_equal(taken(), 1);
    expect_said("12 plans timed for 3 operations");
    assert_int_equal(taken(), 1); /* as kept */
    expect_said("0 plans timed for 0 operations, 3 operations as kept");
}

/* Two plans of one name could not be told apart the next time. */
static void later_of_a_name_is_dropped(void **state)
{
    (void)state;
    set_times(3, 1, 2, 3, 0.5f);
    emulation_plans[1].twin = true;
    assert_int_equal(taken(), 5); /* which then is the fourth */
    cache_empty();
    set_times(1, 0.1f, 2, 3, 3);
    assert_int_equal(taken(), 1);
    assert_int_equal(taken(), 1);
    expect_said("0 plans timed for 0 operations, 3 operations as kept");
}

static void kept_wins(void **state)
{
    (void)state;
    set_times(3, 1, 2, 3, 3);
    assert_int_equal(taken(), 2);
    set_times(1, 9, 9, 9, 9);
    assert_int_equal(taken(), 2);
    expect_said("0 plans timed for 0 operations, 3 operations as kept");
    cache_empty();
    assert_int_equal(taken(), 1);
}

/* Two convolutions of one network. */
static void equals_take_the_same(void **state)
{
    (void)state;
    static outcome o;
    for (int keeps = 1; keeps >= 0; keeps--) {
        sb_device *d;
        sb_call conv[2];
        if (!keeps)
            setenv("XDG_CACHE_HOME", "/dev/null", 1);
        set_times(3, 1, 2, 3, 3);
        assert_int_equal(sb_device_cuda(&d), 0);
        assert_int_equal(plan(d, N, SB_F32, &conv[0]), 0);
        set_times(3, 3, 1, 3, 3);
        assert_int_equal(plan(d, N, SB_F32, &conv[1]), 0);
        snprintf(planning, sizeof planning, "%s", d->planning);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(compute(d, &conv[i], &o), 0);
            assert_int_equal(plan_of(&o), keeps ? 2 : 1);
            unplan(d, &conv[i]);
        }
        sb_device_close(&d);
        expect_said(keeps ? "12 plans timed for 3 operations, 3 operations as kept"
                          : "the heuristics' first plan, untimed, for 6 operations");
    }
}

/* In bf16 and f16 the tensor cores' engine comes first, which has no knobs. */
static void other_operations_are_others(void **state)
{
    (void)state;
    sb_device *d;
    sb_call conv;
    set_times(3, 1, 2, 3, 3);
    assert_int_equal(taken(), 2);
    set_times(3, 3, 0.5f, 3, 3);
    for (int time = 0; time < 4; time++) {
        assert_int_equal(sb_device_cuda(&d), 0);
        assert_int_equal(plan(d, N, time < 2 ? SB_BF16 : SB_F16, &conv), 0);
        snprintf(planning, sizeof planning, "%s", d->planning);
        unplan(d, &conv);
        sb_device_close(&d);
        expect_said(time % 2 == 0 ? "12 plans timed for 3 operations, 0 operations"
                                  : "0 plans timed for 0 operations, 3 operations");
    }
    assert_int_equal(taken(), 2);
}

/* 1 + 2^-12 of a product, which TF32 does not have. */
static float product_of(sb_device *d)
{
    const float values[] = { 1 + 0x1p-12f, 1 };
    void *memory;
    float result = 0;
    assert_int_equal(d->alloc(d, (size_t)3 * 256, &memory), 0);
    float *a = memory, *b = a + 64, *c = b + 64;
    assert_int_equal(d->copy(d, SB_STREAM_COMPUTE, a, &values[0], sizeof *a, SB_TO_DEVICE), 0);
    assert_int_equal(d->copy(d, SB_STREAM_COMPUTE, b, &values[1], sizeof *b, SB_TO_DEVICE), 0);
    assert_int_equal(sb_cuda_sgemm(d, false, false, 1, 1, 1, 1, a, b, 0, c), 0);
    assert_int_equal(d->copy(d, SB_STREAM_COMPUTE, &result, c, sizeof result, SB_TO_HOST), 0);
    assert_int_equal(d->wait(d, SB_STREAM_COMPUTE), 0);
    d->release(d, memory);
    return result;
}

/* Tensor cores for f32 where the device may round, and there alone: elsewhere the doubles die of them. What
 * is kept of one is not the other's. In TF32 each of two factors is wrong by 2^-11 at most. */
static void tf32_where_it_may(void **state)
{
    (void)state;
    static outcome o;
    sb_device *d;
    sb_call conv;
    set_times(3, 3, 3, 3, 3); /* that engine takes 1 */
    assert_int_equal(sb_device_cuda(&d), 0);
    for (int time = 0; time < 3; time++) {
        d->rounds = emulation_tf32 = time % 2 == 0;
        assert_int_equal(plan(d, N, SB_F32, &conv), 0);
        assert_int_equal(compute(d, &conv, &o), 0);
        double most = 0;
        for (size_t i = 0; i < IMAGES; i++)
            most = fmax(most, fabs((double)o.y[i] - (double)by_plan[0].y[i]));
        assert_int_equal(plan_of(&o), time % 2 ? 1 : -1);
        assert_true(time % 2 || (most > 1e-5 && most < KERNEL * KERNEL * CHANNELS * 2 * 0x1p-11));
        assert_true(product_of(d) == (time % 2 ? 1 + 0x1p-12f : 1));
        snprintf(planning, sizeof planning, "%s", d->planning);
        unplan(d, &conv);
    }
    sb_device_close(&d);
    emulation_tf32 = false;
    expect_said("24 plans timed for 6 operations, 3 operations as kept");
}

static void write_cache(const char *text, size_t bytes)
{
    char path[PATH_MAX];
    cache_file(path);
    assert_true(path[0] != '\0');
    assert_int_equal(sb_file_replace(path, text, bytes), 0);
}

static char *read_cache(void)
{
    char path[PATH_MAX], *text;
    size_t bytes;
    cache_file(path);
    assert_int_equal(sb_file_read(path, 1 << 20, &text, &bytes), 0);
    return text;
}

/* Replaces every `from` in the file. */
static void edit_cache(const char *from, const char *to)
{
    char *text = read_cache(), *edited = NULL, *at = text, *next;
    size_t bytes = 0;
    FILE *out = open_memstream(&edited, &bytes);
    assert_true(out && strstr(text, from));
    for (; (next = strstr(at, from)); at = next + strlen(from))
        fprintf(out, "%.*s%s", (int)(next - at), at, to);
    fputs(at, out);
    fclose(out);
    write_cache(edited, bytes);
    free(edited);
    free(text);
}

/* Whatever the file holds, the fastest is chosen anew, that is said, and the file is whole again. */
static void expect_chosen_anew(const char *why)
{
    set_times(3, 2, 3, 1, 3);
    assert_int_equal(taken(), 4);
    expect_said("12 plans timed for 3 operations");
    expect_said(why);
    expect_said("results may differ");
    set_times(1, 1, 1, 1, 1);
    assert_int_equal(taken(), 4);
    expect_said("0 plans timed for 0 operations, 3 operations as kept");
    assert_null(strstr(planning, "differ"));
}

static void damaged_is_begun_anew(void **state)
{
    (void)state;
    static char large[2 << 20];
    const struct {
        const char *text;
        size_t bytes;
    } damaged[] = { { "", 0 },
                    { "{\"machine\": \"emulated", 21 },
                    { "\0\0\0\0", 4 },
                    { "\xFF\xFE{}", 4 },
                    { "[]", 2 },
                    { "{}", 2 },
                    { "{\"machine\": 1, \"plans\": {}}", 27 },
                    { "{\"machine\": \"emulated GPU\", \"plans\": []}", 40 },
                    { large, sizeof large } };
    taken();
    char *sound = read_cache();
    memset(large, ' ', sizeof large);
    memcpy(large, sound, strlen(sound));
    free(sound);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        write_cache(damaged[i].text, damaged[i].bytes);
        expect_chosen_anew("what it held cannot be used");
    }
    edit_cache("\"eng3_k17=4\"", "4");
    expect_chosen_anew("not all in it are plans");
}

static void foreign_is_begun_anew(void **state)
{
    (void)state;
    set_times(3, 1, 2, 3, 3);
    assert_int_equal(taken(), 2);
    edit_cache("cuDNN 9", "cuDNN 8");
    expect_chosen_anew("it is of another machine");
}

/* Names of no plan, of plans that are not to be taken (the double dies of those), and of one that cannot be
 * built any more. */
static void stale_is_chosen_anew(void **state)
{
    (void)state;
    const char *const names[] = { "",     "4",    "eng7_k17=4", "eng3_k17=9", "eng3_k18=4",
                                  "eng3", "eng0", "eng1",       "eng2" };
    set_times(3, 2, 3, 1, 3);
    assert_int_equal(taken(), 4);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        edit_cache("eng3_k17=4", names[i]);
        expect_chosen_anew("3 kept plans no longer to be had");
    }
    cache_empty();
    set_times(3, 2, 1, 3, 3);
    assert_int_equal(taken(), 3);
    emulation_plans[2].unbuildable = true;
    expect_chosen_anew("3 kept plans no longer to be had");
}

/* Where a choice cannot be kept, the first plan, however slow it is. */
static void expect_first(const char *timed, const char *why)
{
    set_times(3, 2, 1, 2, 3);
    assert_int_equal(taken(), 1);
    expect_said(timed);
    expect_said("no choice is kept (");
    expect_said(why);
    expect_said("the heuristics' first plan, untimed, for 3 operations");
}

static void nowhere_to_keep_it(void **state)
{
    (void)state;
    char home[PATH_MAX], inside[PATH_MAX];
    snprintf(home, sizeof home, "%s", getenv("HOME") ? getenv("HOME") : "/");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    expect_first("0 plans timed", "neither XDG_CACHE_HOME nor HOME is set");
    setenv("XDG_CACHE_HOME", "relative", 1);
    expect_first("0 plans timed", "neither XDG_CACHE_HOME nor HOME is set");
    setenv("XDG_CACHE_HOME", "/dev/null", 1);
    expect_first("4 plans timed for 0 operations", "Not a directory"); /* found out with the first */
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", cache_folder, 1);
    set_times(3, 2, 1, 2, 3);
    assert_int_equal(taken(), 3);
    snprintf(inside, sizeof inside, "kept in %s/.cache/smallbatch/emulated-GPU-sm_90", cache_folder);
    expect_said(inside);
    setenv("HOME", home, 1);
}

/* What was kept is still taken where nothing can be added. */
static void kept_but_read_only(void **state)
{
    (void)state;
    char path[PATH_MAX], blocked[PATH_MAX + 32];
    set_times(3, 1, 2, 3, 3);
    assert_int_equal(taken(), 2);
    cache_file(path);
    snprintf(blocked, sizeof blocked, "%s.tmp-%d", path, (int)getpid());
    assert_int_equal(mkdir(blocked, 0700), 0); /* a file could be written by root whatever its mode */
    set_times(1, 1, 1, 1, 1);
    assert_int_equal(taken(), 2);
    expect_said("0 plans timed for 0 operations, 3 operations as kept");
    cache_empty();
    expect_first("4 plans timed for 0 operations", "Is a directory");
    assert_int_equal(rmdir(blocked), 0);
}

static void passed_over(void **state)
{
    (void)state;
    set_times(3, 1, 2, 3, 3);
    emulation_plans[1].fails = true;
    assert_int_equal(taken(), 3);
    expect_said("9 plans timed for 3 operations");
    fresh(NULL);
    set_times(3, 1, 2, 3, 0.5f);
    emulation_plans[1].workspace = SHARE + 1; /* then the fifth is the fourth that can be had */
    assert_int_equal(taken(), 5);
    fresh(NULL);
    set_times(3, 1, 2, 3, 3);
    emulation_plans[1].workspace = SHARE; /* not too large for a plan, but there is less memory */
    assert_int_equal(taken(), 2);
    cache_empty();
    assert_int_equal(taken_with(memory_left() - SHARE / 2), 3);
    expect_said("9 plans timed for 3 operations");
    /* and where there is not even memory for the tensors, nothing is timed: the trainer will say what would
     * fit */
    cache_empty();
    assert_int_equal(taken_with(memory_left() - 4096), 1);
    expect_said("0 plans timed");
    expect_said("no choice is kept (timing plans: 0 MiB of device memory");
}

static void none_is_left(void **state)
{
    (void)state;
    static outcome o;
    for (int i = 0; i < EMULATION_PLANS; i++)
        emulation_plans[i].fails = true;
    assert_int_equal(run(0, &o), -1);
    assert_non_null(
        strstr(sb_error(),
               "a convolution, forward of [2, 7, 7, 8] to 8 channels, kernel 3, stride 1, pad 1, in f32"));
    assert_non_null(strstr(sb_error(), "none of 4 plans runs"));
    fresh(NULL);
    for (int i = 0; i < EMULATION_PLANS; i++)
        emulation_plans[i].unbuildable = true;
    assert_int_equal(run(0, &o), -1);
    assert_non_null(
        strstr(sb_error(), "no deterministic plan within 32 MiB for a convolution, forward of [2, 7, 7, 8]"));
}

/* Two processes at once, and what they keep. */
static void first_decides(void **state)
{
    (void)state;
    sb_cuda_choices a, b, c, other;
    sb_cuda_choices_open(&a, "a GPU");
    sb_cuda_choices_open(&b, "a GPU");
    assert_null(sb_cuda_choices_find(&a, "one"));
    assert_string_equal(sb_cuda_choices_keep(&a, "one", "eng1"), "eng1");
    assert_string_equal(sb_cuda_choices_keep(&b, "one", "eng2"), "eng1");
    assert_string_equal(sb_cuda_choices_keep(&b, "two", "eng2"), "eng2");
    assert_string_equal(sb_cuda_choices_keep(&a, "three", "eng3"), "eng3");
    assert_string_equal(sb_cuda_choices_find(&a, "two"), "eng2");
    sb_cuda_choices_open(&c, "a GPU");
    assert_string_equal(sb_cuda_choices_find(&c, "one"), "eng1");
    assert_string_equal(sb_cuda_choices_find(&c, "two"), "eng2");
    assert_string_equal(sb_cuda_choices_find(&c, "three"), "eng3");
    /* what both find stale is decided by the first, too */
    assert_string_equal(sb_cuda_choices_keep(&b, "one", "eng4"), "eng4");
    assert_string_equal(sb_cuda_choices_keep(&c, "one", "eng5"), "eng4");
    /* and a file that vanishes comes back whole */
    cache_empty();
    assert_string_equal(sb_cuda_choices_keep(&c, "four", "eng4"), "eng4");
    sb_cuda_choices_close(&a);
    sb_cuda_choices_open(&a, "a GPU");
    assert_string_equal(sb_cuda_choices_find(&a, "two"), "eng2");
    assert_string_equal(a.trouble, "");
    cache_empty();
    sb_cuda_choices_open(&other, "another GPU"); /* whose are in another file */
    assert_null(sb_cuda_choices_find(&other, "one"));
    sb_cuda_choices_close(&a);
    sb_cuda_choices_close(&b);
    sb_cuda_choices_close(&c);
    sb_cuda_choices_close(&other);
}

static void first_process_decides(void **state)
{
    (void)state;
    static outcome o;
    sb_device *first, *second;
    sb_call conv, other;
    assert_int_equal(sb_device_cuda(&second), 0);
    assert_int_equal(plan(second, 1, SB_F32, &other), 0); /* it has read what is kept: nothing */
    set_times(3, 1, 2, 3, 3);
    assert_int_equal(sb_device_cuda(&first), 0);
    assert_int_equal(plan(first, N, SB_F32, &conv), 0);
    unplan(first, &conv);
    sb_device_close(&first);
    set_times(3, 3, 1, 3, 3);
    assert_int_equal(plan(second, N, SB_F32, &conv), 0);
    assert_int_equal(compute(second, &conv, &o), 0);
    assert_int_equal(plan_of(&o), 2);
    unplan(second, &conv);
    unplan(second, &other);
    sb_device_close(&second);
}

/* As test_calls.c, where plans are timed, two for each direction. A plan that fails is passed over, so most
 * failures are survived. */
static void any_call_fails(void **state)
{
    (void)state;
    long calls = 0, survived = 0;
    for (int i = 2; i < EMULATION_PLANS; i++)
        emulation_plans[i].unbuildable = true;
    for (long n = 0; n <= calls; n++) { /* 0: none */
        static outcome o;
        long before = emulation_calls();
        cache_empty();
        emulation_fail_call(n);
        int rc = run(0, &o);
        emulation_fail_call(0);
        if (n == 0)
            calls = emulation_calls() - before;
        if (rc != 0 && sb_error()[0] == '\0')
            fail_msg("call %ld failed without a word", n);
        for (size_t i = 0; rc == 0 && i < IMAGES; i++) /* sums of at most 98 products of numbers below 1 */
            if (!(fabsf(o.y[i] - by_plan[0].y[i]) <= 1e-5f && fabsf(o.dx[i] - by_plan[0].dx[i]) <= 1e-5f))
                fail_msg("call %ld failed and the result is wrong", n);
        for (size_t i = 0; rc == 0 && i < FILTER; i++)
            if (!(fabsf(o.dw[i] - by_plan[0].dw[i]) <= 1e-5f))
                fail_msg("call %ld failed and the result is wrong", n);
        survived += rc == 0 && n > 0;
    }
    print_message("%ld calls: %ld failures survived\n", calls, survived);
    assert_true(survived > calls / 2 && survived < calls);
}

int main(void)
{
    omp_set_num_threads(1); /* products too small to share */
    cache_make();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(plans_differ, fresh),
        cmocka_unit_test_setup(fastest_wins, fresh),
        cmocka_unit_test_setup(smallest_workspace_wins, fresh),
        cmocka_unit_test_setup(workspace_is_bounded, fresh),
        cmocka_unit_test_setup(later_of_a_name_is_dropped, fresh),
        cmocka_unit_test_setup(kept_wins, fresh),
        cmocka_unit_test_setup(other_operations_are_others, fresh),
        cmocka_unit_test_setup(tf32_where_it_may, fresh),
        cmocka_unit_test_setup(damaged_is_begun_anew, fresh),
        cmocka_unit_test_setup(foreign_is_begun_anew, fresh),
        cmocka_unit_test_setup(stale_is_chosen_anew, fresh),
        cmocka_unit_test_setup(nowhere_to_keep_it, fresh),
        cmocka_unit_test_setup(kept_but_read_only, fresh),
        cmocka_unit_test_setup(passed_over, fresh),
        cmocka_unit_test_setup(none_is_left, fresh),
        cmocka_unit_test_setup(first_decides, fresh),
        cmocka_unit_test_setup(equals_take_the_same, fresh),
        cmocka_unit_test_setup(first_process_decides, fresh),
        cmocka_unit_test_setup(any_call_fails, fresh),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cache_remove();
    return failed;
}
