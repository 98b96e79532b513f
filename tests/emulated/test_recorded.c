/* test_recorded.c: runs of plans that come again are given to the device as one launch each, on the emulated
 * GPU. Weights are the same to the last bit as where each operation is launched by itself, with all that
 * changes from step to step, and in any order of streams. */
#include "proto/random.h"
#include "tests/emulated/steps.h"

#define STEPS 4

static uint8_t pixels[VIEWS][BATCH][VIEW_BYTES]; /* of the step in work */

/* What a run leaves. */
typedef struct {
    double losses[STEPS];
    float *weights;
    size_t bytes;
} result;

static int fetch(void *context, int view, int sample, const uint8_t **out)
{
    (void)context;
    *out = pixels[view][sample];
    return 0;
}

/* Norms, and a residual that adds up two gradients. */
static sb_t build(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)map;
    (void)keys;
    sb_t t = test_input(g, SIDE, input->channels, input->type);
    t = sb_conv(g, t, "a", .out = 8, .kernel = 3, .stride = 2, .pad = 1);
    t = sb_batchnorm(g, t, SB_NONE, "an", .relu = true);
    t = sb_batchnorm(g, sb_conv(g, t, "b", .out = 8, .kernel = 3, .stride = 1, .pad = 1), t, "bn",
                     .relu = true);
    return sb_output(g, sb_avgpool(g, t), true);
}

static const sb_encoder_kind own = { .name = "own", .build = build };

static void begin(steps *r, const char *const keys[KEYS_MAX], bool by_call)
{
    steps_begin(r, keys, &own, by_call, pixels, sizeof pixels);
}

/* Other pixels, another learning rate, and what a method has for each step. */
static double take_step(const steps *r, int number)
{
    const sb_step_source source = { .fetch = fetch };
    double loss;
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_VIEW, (uint32_t)number, 0, 0);
    for (uint8_t *p = pixels[0][0]; p < pixels[0][0] + sizeof pixels; p++)
        *p = (uint8_t)sb_random_u32(&random);
    good(sb_step_gradient(r->step, number, 0, &source, &loss));
    if (sb_step_commit(r->step, number, 1e-3 * (1 + number)) < 0)
        fail_msg("%s", sb_error());
    good(r->device->wait(r->device, SB_STREAM_COMPUTE));
    return loss;
}

static void take_steps(result *out, const char *const keys[KEYS_MAX], bool by_call)
{
    steps r;
    begin(&r, keys, by_call);
    const long graphs = emulation_given.graphs;
    for (int number = 0; number < STEPS; number++)
        out->losses[number] = take_step(&r, number);
    assert_int_equal(emulation_given.graphs > graphs, !by_call);
    out->weights = steps_weights(&r, &out->bytes);
    steps_end(&r);
}

static void same_weights(void **state)
{
    result wanted, recorded;
    take_steps(&wanted, *state, true);
    for (int number = 1; number < STEPS; number++)
        assert_true(wanted.losses[number] != wanted.losses[number - 1]);
    emulation_set_order(EMULATION_RANDOM, 5);
    take_steps(&recorded, *state, false);
    emulation_set_order(EMULATION_FORWARD, 0);
    assert_memory_equal(recorded.losses, wanted.losses, sizeof wanted.losses);
    assert_memory_equal(recorded.weights, wanted.weights, wanted.bytes);
    free(recorded.weights);
    free(wanted.weights);
}

/* Eight views in chunks of three, three and two. Each goes forth and leaves its statistics; all but the last
 * go forth again; each goes back. Heads and loss go forth and back, and leave statistics. Two plans of chunks
 * pack their weights; heads have none to pack. */
#define GRAPHS (3 * 2 + 2 + 3 + 3 + 2)
#define LAUNCHES \
    13 /* beside them: rows of chunks, the gradient's length, the optimiser, and memory that is cleared */

static void one_launch_each(void **state)
{
    steps r;
    emulation_counts before;
    begin(&r, *state, false);
    for (int number = 0; number < STEPS; number++) {
        before = emulation_given;
        take_step(&r, number);
        const emulation_counts now = emulation_given;
        const long launches = now.kernels + now.libraries + now.fills - before.kernels - before.libraries -
                              before.fills,
                   graphs = now.graphs - before.graphs, recorded = now.recorded - before.recorded;
        if (number > 0)
            assert_int_equal(graphs, GRAPHS);
        if (number == STEPS - 1) { /* both buffers of pixels have been seen with each plan */
            assert_int_equal(recorded, 0);
            assert_int_equal(launches, LAUNCHES);
        }
    }
    steps_end(&r);
}

int main(void)
{
    unsetenv("XDG_CACHE_HOME"); /* with no place to keep a choice, plans are not timed */
    unsetenv("HOME");
    static const char *const chunks[KEYS_MAX] = { "method.name=simclr", "trainer.chunk=3" },
                             *const target[KEYS_MAX] = { "method.name=byol", "trainer.chunk=3",
                                                         "trainer.precision=bf16" },
                             *const numbers[KEYS_MAX] = { "method.name=dino" },
                             *const scaled[KEYS_MAX] = { "method.name=moco2", "method.queue=8",
                                                         "trainer.precision=f16" },
                             *const masks[KEYS_MAX] = { "method.name=mae", "encoder.name=vit_tiny",
                                                        "trainer.chunk=3" };
    const struct CMUnitTest tests[] = {
        { "chunks, f32: same weights", same_weights, NULL, NULL, (void *)chunks },
        { "chunks, a target, bf16: same weights", same_weights, NULL, NULL, (void *)target },
        { "numbers of a step: same weights", same_weights, NULL, NULL, (void *)numbers },
        { "a queue, f16: same weights", same_weights, NULL, NULL, (void *)scaled },
        { "masks: same weights", same_weights, NULL, NULL, (void *)masks },
        { "chunks, f32: one launch each", one_launch_each, NULL, NULL, (void *)chunks },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
