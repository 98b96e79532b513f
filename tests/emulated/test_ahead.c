/* test_ahead.c: the first chunk of the next batch, where it is there, is uploaded while the one before
 * computes, on the emulated GPU: its copies wait for none of that, and no weight depends on whether it was
 * there, in any order of streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "proto/random.h"
#include "tests/emulated/emulation.h"
#include "tests/step.h"
#include "trainer/step/step.h"

#define BATCH 4
#define VIEWS 2
#define SIDE 32
#define VIEW_BYTES (SIDE * SIDE * 3)
#define STEPS 3
#define KEYS_MAX 6
#define LR 1e-2

/* Which of the next batch's views are there when they are asked for. */
typedef enum { NONE, ALL, ALL_BUT_ONE, BY_TURNS } presence;

/* Of two batches, as a ring has them: batch b lies at b % 2, and b + 2 comes there once b's step has ended.
 */
static uint8_t pixels[2][VIEWS][BATCH][VIEW_BYTES];

typedef struct {
    sb_settings config;
    sb_device *device;
    sb_step *step;
    int64_t batch;
    presence views;
} run;

static void good(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

static void draw(int64_t batch)
{
    sb_random random;
    uint8_t *to = pixels[batch % 2][0][0];
    sb_random_init(&random, 1, SB_RANDOM_VIEW, (uint32_t)batch, 0, 0);
    for (size_t i = 0; i < sizeof pixels[0]; i++)
        to[i] = (uint8_t)sb_random_u32(&random);
}

static int fetch(void *context, int view, int sample, const uint8_t **out)
{
    const run *r = context;
    *out = pixels[r->batch % 2][view][sample];
    return 0;
}

static int next(void *context, int view, int sample, const uint8_t **out)
{
    const run *r = context;
    const bool first = view == 0 && sample == 0;
    *out = pixels[(r->batch + 1) % 2][view][sample];
    return r->views == NONE || (r->views == ALL_BUT_ONE && first) ||
           (r->views == BY_TURNS && r->batch % 2 == 0);
}

/* Small, and with a norm that gathers statistics. */
static sb_t build(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)map;
    (void)keys;
    sb_t t = test_input(g, SIDE, input->channels, input->type);
    t = sb_conv(g, t, "a", .out = 8, .kernel = 3, .stride = 2, .pad = 1);
    t = sb_batchnorm(g, t, SB_NONE, "norm", .relu = true);
    t = sb_conv(g, t, "b", .out = 16, .kernel = 3, .stride = 2, .pad = 1);
    return sb_output(g, sb_avgpool(g, t), true);
}

static const sb_encoder_kind own = { .name = "own", .build = build };

static void begin(run *r, const char *const keys[KEYS_MAX], presence views)
{
    const char *all[5 + KEYS_MAX] = { "data.path=.", "data.view=32", "trainer.batch=4",
                                      "trainer.precision=f32", "optimiser.name=adamw" };
    int count = 5;
    for (int i = 0; i < KEYS_MAX && keys[i]; i++)
        all[count++] = keys[i];
    *r = (run){ .views = views };
    good(sb_settings_of(&r->config, NULL, all, count));
    if (r->config.method->mask == NULL)
        r->config.encoder = &own;
    good(sb_device_cuda(&r->device));
    good(r->device->pin(r->device, pixels, sizeof pixels)); /* or copies would be staged at once */
    good(sb_step_create(&r->step, r->device, &r->config));
    good(sb_step_begin(r->step));
    draw(0);
    draw(1);
}

static void end(run *r)
{
    sb_step_destroy(&r->step);
    sb_device_close(&r->device);
    assert_int_equal(emulation_alive(), 0);
}

static void gradient(run *r, int64_t number, int part)
{
    const sb_step_source source = { .context = r, .fetch = fetch, .next = next };
    double loss;
    r->batch = number * r->config.trainer.accumulate + part;
    good(sb_step_gradient(r->step, number, part, &source, &loss));
}

/* The batch's step has ended, and its place is another's. */
static void release(const run *r)
{
    good(r->device->wait(r->device, SB_STREAM_COMPUTE));
    draw(r->batch + 2);
}

static void take_step(run *r, int64_t number, bool twice)
{
    const int parts = r->config.trainer.accumulate;
    if (r->config.trainer.replicas > 1 && number % 2 == 0) {
        const sb_step_source source = { .context = r, .fetch = fetch };
        double loss;
        r->batch = number * parts;
        good(sb_step_regrouped(r->step, number, &source, &loss));
    }
    for (int part = 0; part < parts; part++) {
        gradient(r, number, part);
        if (twice && part == 0)
            gradient(r, number, part);
        if (part + 1 < parts)
            release(r);
    }
    good(sb_step_commit(r->step, number, LR));
    release(r);
}

/* The weights after all steps. */
static float *weights_after(const char *const keys[KEYS_MAX], presence views, bool twice, size_t *bytes)
{
    run r;
    begin(&r, keys, views);
    for (int number = 0; number < STEPS; number++)
        take_step(&r, number, twice);
    *bytes = sb_step_store(r.step)->floats[SB_ENTRY_WEIGHT] * sizeof(float);
    float *weights = malloc(*bytes);
    assert_non_null(weights);
    good(r.device->copy(r.device, SB_STREAM_COMPUTE, weights, sb_step_section(r.step)->weight, *bytes,
                        SB_TO_HOST));
    good(r.device->wait(r.device, SB_STREAM_COMPUTE));
    end(&r);
    return weights;
}

/* A step that is repeated, as after a batch that was given up, finds another batch's chunk uploaded. */
static void same_weights(void **state)
{
    const char *const *keys = *state;
    static const struct {
        emulation_order order;
        presence views;
        bool twice;
    } runs[] = { { EMULATION_FORWARD, BY_TURNS, false },
                 { EMULATION_REVERSE, ALL, true },
                 { EMULATION_RANDOM, ALL_BUT_ONE, false } };
    size_t bytes;
    float *wanted = weights_after(keys, NONE, false, &bytes);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        emulation_set_order(runs[i].order, 7);
        float *weights = weights_after(keys, runs[i].views, runs[i].twice, &bytes);
        if (memcmp(weights, wanted, bytes) != 0)
            fail_msg("run %zu: other weights", i);
        free(weights);
    }
    emulation_set_order(EMULATION_FORWARD, 0);
    free(wanted);
}

/* Uploads that two steps give the device before each returns its gradient. */
static void count_uploads(const char *const keys[KEYS_MAX], presence views, long uploads[2])
{
    run r;
    begin(&r, keys, views);
    for (int number = 0; number < 2; number++) {
        const long before = emulation_given.uploads;
        gradient(&r, number, 0);
        uploads[number] = emulation_given.uploads - before;
        good(sb_step_commit(r.step, number, LR));
        release(&r);
        r.views = NONE; /* the second step is the last */
    }
    end(&r);
}

/* They are given to the device with the step before, whose way back they need not wait for. */
static void beside_the_step(void **state)
{
    const char *const *keys = *state;
    long without[2], with[2];
    run r;
    count_uploads(keys, NONE, without);
    count_uploads(keys, ALL, with);
    begin(&r, keys, ALL);
    const sb_cuda *cuda = (const sb_cuda *)r.device;
    const int views = VIEWS * BATCH, first = r.config.trainer.chunk > 0 ? r.config.trainer.chunk : views;
    assert_int_equal(with[0], without[0] + first);
    assert_int_equal(with[1], without[1] - first);
    gradient(&r, 0, 0);
    assert_true(emulation_left(cuda->stream[SB_STREAM_UPLOAD]) >= (uint64_t)first);
    good(r.device->wait(r.device, SB_STREAM_UPLOAD));
    assert_true(emulation_left(cuda->stream[SB_STREAM_COMPUTE]) > 0);
    good(sb_step_commit(r.step, 0, LR));
    end(&r);
}

int main(void)
{
    unsetenv("XDG_CACHE_HOME"); /* with no place to keep a choice, plans are not timed */
    unsetenv("HOME");
    static const char *const whole[KEYS_MAX] = { "method.name=simclr" },
                             *const chunks[KEYS_MAX] = { "method.name=byol", "trainer.chunk=3" },
                             *const parts[KEYS_MAX] = { "method.name=simclr", "trainer.chunk=3",
                                                        "trainer.accumulate=2" },
                             *const replicas[KEYS_MAX] = { "method.name=simclr", "trainer.replicas=2" },
                             *const heads[KEYS_MAX] = { "method.name=simclr", "trainer.chunk=3", "init=x",
                                                        "continue=true", "continue.heads=2" },
                             *const mean[KEYS_MAX] = { "method.name=mae", "encoder.name=vit_tiny",
                                                       "trainer.chunk=3" };
    const struct CMUnitTest tests[] = {
        { "one chunk: same weights", same_weights, NULL, NULL, (void *)whole },
        { "chunks, a target: same weights", same_weights, NULL, NULL, (void *)chunks },
        { "chunks, two batches a step: same weights", same_weights, NULL, NULL, (void *)parts },
        { "replicas, regrouped: same weights", same_weights, NULL, NULL, (void *)replicas },
        { "heads alone: same weights", same_weights, NULL, NULL, (void *)heads },
        { "a mean over views: same weights", same_weights, NULL, NULL, (void *)mean },
        { "one chunk: beside the step", beside_the_step, NULL, NULL, (void *)whole },
        { "chunks: beside the step", beside_the_step, NULL, NULL, (void *)chunks },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
