/* leak.h: when looks are a leak; and a network that has one. Views of a sample have nothing in common. Half
 * of each is the same grey everywhere, which a norm over the group's views turns into a colour of the group;
 * that half alone is what the filters see. As replicas, the views of a sample share a norm, and the colour
 * tells them apart from others; permuted over chunks they do not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/random.h"
#include "tests/step.h"
#include "trainer/encoder.h"
#include "trainer/graph/build.h"
#include "trainer/leak.h"
#include "trainer/step/step.h"

#define BATCH 16
#define SIDE 16
#define FILTERS 3 /* one for each colour */
#define PIXELS (SIDE * SIDE)
#define VIEW_BYTES (3 * PIXELS)
#define LOOKS 12

static sb_t build(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)map;
    (void)keys;
    sb_t t = test_input(g, SIDE, input->channels, input->type);
    t = sb_batchnorm(g, t, SB_NONE, "norm");
    t = sb_conv(g, t, "filters", .out = FILTERS, .kernel = SIDE, .stride = SIDE, .pad = 0);
    return sb_output(g, sb_avgpool(g, t), true);
}

static const sb_encoder_kind of_this_file = { .name = "own", .build = build };

/* Pixels that follow from step, view and sample alone. */
typedef struct {
    uint32_t step;
    uint8_t pixels[VIEW_BYTES];
} source;

static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    source *s = context;
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_VIEW, s->step, (uint32_t)view, (uint32_t)sample);
    uint32_t brightness[3];
    for (int c = 0; c < 3; c++)
        brightness[c] = sb_random_below(&random, 240);
    for (int p = 0; p < VIEW_BYTES; p++)
        s->pixels[p] = (uint8_t)(p < VIEW_BYTES / 2 ? 128 : brightness[p % 3] + sb_random_below(&random, 16));
    *pixels = s->pixels;
    return 0;
}

/* Filters [FILTERS, 3, SIDE, SIDE] of the upper half. */
static void set_filters(const sb_step *step)
{
    const sb_store *store = sb_step_store(step);
    float *weight = NULL;
    for (int i = 0; i < store->count; i++)
        if (strcmp(store->entries[i].name, "filters.weight") == 0)
            weight = sb_step_section(step)->weight + store->entries[i].offset;
    assert_non_null(weight);
    for (int i = 0; weight && i < FILTERS * VIEW_BYTES; i++)
        weight[i] = i % PIXELS < PIXELS / 2 && i / PIXELS % 3 == i / VIEW_BYTES ? 1.0f : 0.0f;
}

static sb_step *create(sb_device *device, const sb_settings *config)
{
    sb_step *step = NULL;
    if (sb_step_create(&step, device, config) != 0)
        fail_msg("%s", sb_error());
    set_filters(step);
    assert_int_equal(sb_step_begin(step), 0);
    return step;
}

static void configure(sb_settings *config, const char *key)
{
    const char *const keys[] = { "data.path=.",        "data.view=16",
                                 "method.name=simclr", "projector.layers=1",
                                 "projector.out=8",    "projector.last=plain",
                                 "trainer.batch=16",   "trainer.threads=1",
                                 "optimiser.name=sgd", key };
    if (sb_settings_of(config, NULL, keys, sizeof keys / sizeof *keys) != 0)
        fail_msg("%s", sb_error());
    config->encoder = &of_this_file;
}

/* Looks without learning. */
static void look(sb_device *device, const char *key, sb_leak *leak)
{
    static source s;
    const sb_step_source given = { .context = &s, .fetch = fetch };
    sb_settings config;
    configure(&config, key);
    sb_step *step = create(device, &config);
    assert_true(sb_step_regroups(step));
    int said = 0;
    *leak = (sb_leak){ 0 };
    for (s.step = 0; s.step < LOOKS; s.step++) {
        double loss, regrouped;
        assert_int_equal(sb_step_regrouped(step, s.step, &given, &regrouped), 0);
        assert_int_equal(sb_step_gradient(step, s.step, 0, &given, &loss), 0);
        said += sb_leak_look(leak, loss, regrouped - loss);
    }
    assert_int_equal(said, leak->leaks);
    sb_step_destroy(&step);
}

static void test_network(void **state)
{
    sb_leak leak;
    look(*state, "trainer.replicas=4", &leak);
    if (!leak.leaks)
        fail_msg("replicas: the loss is %.3f, and %.3f more in other groups", leak.loss, leak.gap);
}

/* A look leaves nothing behind: gradient and statistics of a step are what they are without one. */
static void test_traceless(void **state)
{
    static source s;
    const sb_step_source given = { .context = &s, .fetch = fetch };
    float *kept[2][3];
    size_t bytes[3] = { 0 };
    double losses[2];
    for (int looks = 0; looks < 2; looks++) {
        sb_settings config;
        double other;
        configure(&config, "trainer.replicas=4");
        sb_step *step = create(*state, &config);
        const sb_section *section = sb_step_section(step);
        if (looks) {
            assert_int_equal(sb_step_regrouped(step, 0, &given, &other), 0);
            assert_true(isfinite(other));
        }
        assert_int_equal(sb_step_gradient(step, 0, 0, &given, &losses[looks]), 0);
        assert_int_equal(sb_step_commit(step, 0, 0.1), 0);
        const float *arrays[] = { section->gradient, section->weight, section->statistic };
        const sb_entry_kind kinds[] = { SB_ENTRY_WEIGHT, SB_ENTRY_WEIGHT, SB_ENTRY_STATISTIC };
        for (int a = 0; a < 3; a++) {
            bytes[a] = sb_step_store(step)->floats[kinds[a]] * sizeof(float);
            kept[looks][a] = malloc(bytes[a]);
            assert_non_null(kept[looks][a]);
            memcpy(kept[looks][a], arrays[a], bytes[a]);
        }
        sb_step_destroy(&step);
    }
    assert_true(losses[0] == losses[1]);
    for (int a = 0; a < 3; a++) {
        assert_memory_equal(kept[0][a], kept[1][a], bytes[a]);
        free(kept[0][a]);
        free(kept[1][a]);
    }
}

/* What is a leak: a gap that is neither chance nor small beside the loss; said once. */
static void test_looks(void **state)
{
    (void)state;
    const struct {
        double loss, gap, noise;
        bool leaks;
    } cases[] = { { 3, 0.5, 0.1, true },   { 3, 0.5, 1.5, false }, { 3, 0.05, 0, false },
                  { 3, -0.5, 0.1, false }, { -3, 0.5, 0.1, true }, { 0, 0, 0, false } };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sb_leak leak = { 0 };
        int said = 0;
        for (int i = 0; i < 2 * SB_LEAK_LOOKS; i++) {
            said += sb_leak_look(&leak, cases[c].loss, cases[c].gap + cases[c].noise * (i % 2 ? 1 : -1));
            assert_true(said == 0 || i >= SB_LEAK_LOOKS - 1);
        }
        assert_int_equal(said, cases[c].leaks);
    }
    sb_leak leak = { 0 }; /* what is long past does not count */
    for (int i = 0; i < 2 * SB_LEAK_LOOKS; i++)
        assert_false(sb_leak_look(&leak, 3, i % 2 ? 6 : 0));
    for (int i = 0; i < SB_LEAK_LOOKS; i++)
        assert_int_equal(sb_leak_look(&leak, 3, 0.5), i == SB_LEAK_LOOKS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_traceless),
    };
    return cmocka_run_group_tests(tests, test_open_cpu, test_close_cpu);
}
