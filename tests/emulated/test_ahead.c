/* test_ahead.c: the first chunk of the next batch, where it is there, is uploaded while the one before
 * computes, on the emulated GPU: its copies wait for none of that, and no weight depends on whether it was
 * there, in any order of streams. */
#include <string.h>

#include "kernels/cuda/cuda.h"
#include "proto/random.h"
#include "tests/emulated/steps.h"

#define STEPS 3
#define LR 1e-2

/* Which of the next batch's views are there when they are asked for. */
typedef enum { NONE, ALL, ALL_BUT_ONE, BY_TURNS } presence;

/* Of two batches, as a ring has them: batch b lies at b % 2, and b + 2 comes there once b's step has ended.
 */
static uint8_t pixels[2][VIEWS][BATCH][VIEW_BYTES];

typedef struct {
    steps of;
    int64_t batch;
    presence views;
} run;

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

static sb_t build(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)map;
    (void)keys;
    return test_encoder(g, input, SIDE, 8, 16);
}

static const sb_encoder_kind own = { .name = "own", .build = build };

static void begin(run *r, const char *const keys[KEYS_MAX], presence views)
{
    *r = (run){ .views = views };
    steps_begin(&r->of, keys, &own, false, pixels, sizeof pixels);
    draw(0);
    draw(1);
}

static void gradient(run *r, int64_t number, int part)
{
    const sb_step_source source = { .context = r, .fetch = fetch, .next = next };
    double loss;
    r->batch = number * r->of.config.trainer.accumulate + part;
    good(sb_step_gradient(r->of.step, number, part, &source, &loss));
}

/* The batch's step has ended, and its place is another's. */
static void release(const run *r)
{
    good(r->of.device->wait(r->of.device, SB_STREAM_COMPUTE));
    draw(r->batch + 2);
}

static void take_step(run *r, int64_t number, bool twice)
{
    const int parts = r->of.config.trainer.accumulate;
    if (r->of.config.trainer.replicas > 1 && number % 2 == 0) {
        const sb_step_source source = { .context = r, .fetch = fetch };
        double loss;
        r->batch = number * parts;
        good(sb_step_regrouped(r->of.step, number, &source, &loss));
    }
    for (int part = 0; part < parts; part++) {
        gradient(r, number, part);
        if (twice && part == 0)
            gradient(r, number, part);
        if (part + 1 < parts)
            release(r);
    }
    good(sb_step_commit(r->of.step, number, LR));
    release(r);
}

/* The weights after all steps. */
static float *weights_after(const char *const keys[KEYS_MAX], presence views, bool twice, size_t *bytes)
{
    run r;
    begin(&r, keys, views);
    for (int number = 0; number < STEPS; number++)
        take_step(&r, number, twice);
    float *weights = steps_weights(&r.of, bytes);
    steps_end(&r.of);
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

/* Copies of the first chunk: its views (all of a replica's, if nothing is cut), and which cells are hidden.
 */
static int first_copies(const run *r)
{
    const sb_settings *c = &r->of.config;
    const int views = c->trainer.chunk > 0 ? c->trainer.chunk : VIEWS * BATCH / c->trainer.replicas;
    return views + (c->method->mask ? 1 : 0);
}

/* Uploads that each of two steps gives the device before its last gradient returns. Returns the copies of
 * the first chunk. */
static int count_uploads(const char *const keys[KEYS_MAX], presence views, long uploads[2])
{
    run r;
    begin(&r, keys, views);
    for (int number = 0; number < 2; number++) {
        const long before = emulation_given.uploads;
        for (int part = 0; part < r.of.config.trainer.accumulate; part++) {
            if (part > 0)
                release(&r);
            gradient(&r, number, part);
        }
        uploads[number] = emulation_given.uploads - before;
        good(sb_step_commit(r.of.step, number, LR));
        release(&r);
        r.views = NONE; /* the second step is the last */
    }
    const int first = first_copies(&r);
    steps_end(&r.of);
    return first;
}

/* What the first step uploads more, the second need not. */
static void with_the_step_before(void **state)
{
    const char *const *keys = *state;
    long without[2], with[2];
    count_uploads(keys, NONE, without);
    const int first = count_uploads(keys, ALL, with);
    assert_int_equal(with[0], without[0] + first);
    assert_int_equal(with[1], without[1] - first);
}

/* They need not wait for its way back. */
static void beside_the_step(void **state)
{
    run r;
    begin(&r, *state, ALL);
    const sb_cuda *cuda = (const sb_cuda *)r.of.device;
    gradient(&r, 0, 0);
    assert_true(emulation_left(cuda->stream[SB_STREAM_UPLOAD]) >= (uint64_t)first_copies(&r));
    good(r.of.device->wait(r.of.device, SB_STREAM_UPLOAD));
    assert_true(emulation_left(cuda->stream[SB_STREAM_COMPUTE]) > 0);
    good(sb_step_commit(r.of.step, 0, LR));
    steps_end(&r.of);
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
        { "one chunk: with the step before", with_the_step_before, NULL, NULL, (void *)whole },
        { "chunks, a target: with the step before", with_the_step_before, NULL, NULL, (void *)chunks },
        { "chunks, two batches a step: with the step before", with_the_step_before, NULL, NULL,
          (void *)parts },
        { "replicas: with the step before", with_the_step_before, NULL, NULL, (void *)replicas },
        { "heads alone: with the step before", with_the_step_before, NULL, NULL, (void *)heads },
        { "a mean over views: with the step before", with_the_step_before, NULL, NULL, (void *)mean },
        { "one chunk: beside the step", beside_the_step, NULL, NULL, (void *)whole },
        { "chunks: beside the step", beside_the_step, NULL, NULL, (void *)chunks },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
