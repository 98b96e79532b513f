/* test_governor.c: a step on emulated cards of which others take more and more: what was chosen is made, what
 * was said is taken, to the byte, and behind the first step no memory is asked for. A card's memory is a
 * number: the network is a small one, and others have the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/device.h"
#include "proto/error.h"
#include "tests/emulated/emulation.h"
#include "tests/graph/budget.h"
#include "tests/step.h"
#include "trainer/graph/build.h"
#include "trainer/planner.h"
#include "trainer/step/step.h"

#define MIB ((size_t)1 << 20)
#define SIDE 20
#define BATCH 6
#define CHUNK 4                      /* of 12 views */
#define HANDLE (64 * MIB)            /* each of two handles */
#define OPEN (2 * HANDLE + 32 * MIB) /* and cuBLAS' workspace */
#define MARGIN (512 * MIB)           /* of the planner */
#define STEPS 2

static sb_t build(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)map;
    (void)keys;
    sb_t t = test_input(g, SIDE, input->channels, input->type);
    t = sb_batchnorm(g, sb_conv(g, t, "a", .out = 8, .kernel = 3, .stride = 2, .pad = 1), SB_NONE, "an",
                     .relu = true);
    t = sb_batchnorm(g, sb_conv(g, t, "b", .out = 16, .kernel = 3, .stride = 2, .pad = 1), SB_NONE, "bn",
                     .relu = true);
    return sb_output(g, sb_avgpool(g, t), true);
}

static const sb_encoder_kind small = { .name = "small", .build = build };

static void good(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

static uint8_t pixels[SIDE * SIDE * 3 + 64 * 4];

static int fetch(void *context, int view, int sample, const uint8_t **out)
{
    (void)context;
    *out = pixels + 64 * (size_t)view + 7 * (size_t)sample;
    return 0;
}

/* chunk: as a key. */
static void configure(sb_settings *settings, sb_config *config, const char *chunk)
{
    char key[32];
    snprintf(key, sizeof key, "trainer.chunk=%s", chunk);
    const char *const keys[] = { "data.path=none",         "data.view=20",
                                 "data.tile=64",           "trainer.batch=6",
                                 "method.name=byol",       "projector.hidden=16",
                                 "projector.out=8",        "method.hidden=16",
                                 "trainer.recompute=none", key };
    sb_config_init(config);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        good(sb_config_set(config, keys[i]));
    good(sb_settings_read(settings, config));
    settings->encoder = &small;
}

/* An unlimited card, or one of which others have so much. */
static void set_card(size_t card, size_t others, size_t later)
{
    emulation_set_memory(
        &(emulation_memory){ .card = card, .others = others, .handle = HANDLE, .later = later });
}

static sb_device *open_device(void)
{
    sb_device *device;
    good(sb_device_cuda(&device));
    return device;
}

static size_t total_of(const sb_step_budget *b) { return b->weights + b->packed + b->activations + b->batch; }

/* The weights after some steps, for which no memory is asked for. */
static void take_steps(sb_device *device, sb_step *step, float **weights, size_t *bytes)
{
    const sb_step_source source = { .fetch = fetch };
    const sb_section *section = sb_step_section(step);
    const long allocations = emulation_given.allocations;
    double loss;
    *bytes = section->floats[SB_ENTRY_WEIGHT] * sizeof(float);
    *weights = malloc(*bytes);
    assert_non_null(*weights);
    good(sb_step_begin(step));
    for (int number = 0; number < STEPS; number++) {
        good(sb_step_gradient(step, number, 0, &source, &loss));
        good(sb_step_commit(step, number, 0.01));
    }
    good(device->copy(device, SB_STREAM_COMPUTE, *weights, section->weight, *bytes, SB_TO_HOST));
    good(device->wait(device, SB_STREAM_COMPUTE));
    assert_int_equal(emulation_given.allocations, allocations);
}

/* What a step with this chunk takes; its weights where nothing is scarce. */
static size_t without_limit(float **weights, size_t *bytes)
{
    char chunk[16];
    sb_settings settings;
    sb_config config;
    sb_step *step = NULL;
    sb_step_budget budget;
    set_card((size_t)80 << 30, 0, 0);
    sb_device *device = open_device();
    snprintf(chunk, sizeof chunk, "%d", CHUNK);
    configure(&settings, &config, chunk);
    good(sb_step_create(&step, device, &settings));
    sb_step_measure(step, &budget);
    take_steps(device, step, weights, bytes);
    sb_step_destroy(&step);
    sb_device_close(&device);
    sb_config_free(&config);
    return total_of(&budget);
}

/* A card on which the margin, the reserve and just this much are free. */
static size_t others_of(size_t card, size_t need)
{
    const size_t reserve = card / 100 * 4 > 256 * MIB ? card / 100 * 4 : 256 * MIB;
    return card - OPEN - reserve - MARGIN - need;
}

/* Others take `withheld` between the choice and the start, or behind the start's own look, and after that all
 * that is left. */
static void on_a_card(size_t card, size_t withheld, bool at_start, size_t need, const float *wanted)
{
    sb_settings settings;
    sb_config config;
    sb_step *step = NULL;
    float *weights;
    size_t bytes, free_bytes, total;
    const size_t others = others_of(card, need);
    set_card(card, others, at_start ? 0 : withheld);
    sb_device *device = open_device();
    configure(&settings, &config, "auto");
    good(sb_planner_settle_on(device, &settings, &config));
    assert_int_equal(settings.trainer.chunk, CHUNK);
    if (at_start)
        set_card(card, others, withheld);
    const size_t before = emulation_used();
    good(sb_step_create(&step, device, &settings));
    assert_int_equal(emulation_used() - before, need + (at_start ? withheld : 0));
    assert_int_equal(cudaMemGetInfo(&free_bytes, &total), cudaSuccess);
    set_card(card, others + withheld + free_bytes, 0);
    take_steps(device, step, &weights, &bytes);
    assert_memory_equal(weights, wanted, bytes);
    free(weights);
    sb_step_destroy(&step);
    sb_device_close(&device);
    sb_config_free(&config);
    assert_int_equal(emulation_alive(), 0);
}

static void others_take_their_part(void **state)
{
    (void)state;
    static const size_t cards[] = { 4, 6, 8, 12, 24 }, withheld[] = { 100, 300, 500 };
    float *wanted;
    size_t bytes, need = without_limit(&wanted, &bytes);
    for (size_t c = 0; c < sizeof cards / sizeof *cards; c++)
        for (size_t w = 0; w < sizeof withheld / sizeof *withheld; w++)
            for (int at_start = 0; at_start < 2; at_start++)
                on_a_card(cards[c] << 30, withheld[w] * MIB, at_start, need, wanted);
    free(wanted);
}

/* What is gone at the start is said then, with what would fit, and not in a step. */
static void too_much(void **state)
{
    (void)state;
    const size_t card = (size_t)8 << 30;
    float *weights;
    size_t bytes, need = without_limit(&weights, &bytes);
    sb_settings settings;
    sb_config config;
    sb_step *step = NULL;
    free(weights);
    set_card(card, others_of(card, need), 0);
    sb_device *device = open_device();
    configure(&settings, &config, "auto");
    good(sb_planner_settle_on(device, &settings, &config));
    set_card(card, others_of(card, need), MARGIN + card / 100 * 4 + MIB);
    assert_int_equal(sb_step_create(&step, device, &settings), SB_DEVICE_FULL);
    assert_null(step);
    assert_non_null(strstr(sb_error(), "are free beside a reserve"));
    set_card(card, others_of(card, need), MARGIN + card / 100 * 4); /* to the byte */
    good(sb_step_create(&step, device, &settings));
    sb_step_destroy(&step);
    sb_device_close(&device);
    sb_config_free(&config);
}

static void as_said(void **state)
{
    (void)state;
    set_card((size_t)80 << 30, 0, 0);
    sb_device *device = open_device();
    budget_is_taken(device, emulation_used);
    sb_device_close(&device);
    assert_int_equal(emulation_alive(), 0);
}

static void on_large_card(void (*holds)(sb_device *))
{
    set_card((size_t)80 << 30, 0, 0);
    sb_device *device = open_device();
    holds(device);
    sb_device_close(&device);
}

static void flat(void **state)
{
    (void)state;
    on_large_card(budget_is_flat);
}

static void linear(void **state)
{
    (void)state;
    on_large_card(budget_is_linear);
}

int main(void)
{
    unsetenv("XDG_CACHE_HOME"); /* with no place to keep a choice, plans are not timed */
    unsetenv("HOME");
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 7919 % 251);
    const struct CMUnitTest tests[] = { cmocka_unit_test(others_take_their_part), cmocka_unit_test(too_much),
                                        cmocka_unit_test(as_said), cmocka_unit_test(flat),
                                        cmocka_unit_test(linear) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
