/* An optimiser's state in codes of 8 bits: the codes themselves; a step that keeps it so, its memory, its
 * checkpoints. What the step computes is held by tests/kernels/update.c. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/share/codes.h"
#include "proto/error.h"
#include "proto/random.h"
#include "proto/rundir.h"
#include "tests/step.h"
#include "trainer/checkpoint.h"
#include "trainer/encoder.h"
#include "trainer/step/step.h"

#define BATCH 4
#define SIDE 16
#define VIEW_BYTES (SIDE * SIDE * 3)
#define STEPS 6

/* ---- codes --------------------------------------------------------------------------------------------- */

/* Every code comes back; codes order as their values do; between two of them the middle decides. */
static void test_codes(void **state)
{
    (void)state;
    for (int bits = 7; bits <= 8; bits++) {
        const int most = (1 << bits) - 1;
        assert_true(sb_magnitude_of(0, bits) == 0);
        assert_true(sb_magnitude_of(1, bits) == (bits == 7 ? 1e-6f : 1e-7f));
        assert_true(sb_magnitude_of(most, bits) == 1);
        for (int c = 0; c <= most; c++)
            assert_int_equal(sb_magnitude_code(sb_magnitude_of(c, bits), bits), c);
        for (int c = 0; c < most; c++) {
            const double low = (double)sb_magnitude_of(c, bits), high = (double)sb_magnitude_of(c + 1, bits),
                         middle = (low + high) / 2;
            assert_true(high > low);
            assert_int_equal(sb_magnitude_code((float)(middle * (1 - 1e-5)), bits), c);
            assert_int_equal(sb_magnitude_code((float)(middle * (1 + 1e-5)), bits), c + 1);
        }
    }
    for (int c = 0; c < SB_CODES; c++) {
        if (c != 128) /* -0 is no code of anything */
            assert_int_equal(sb_signed_code(sb_signed_value(c)), c);
        assert_true(c < 128 || sb_signed_value(c) == -sb_signed_value(c - 128));
        assert_int_equal(sb_unsigned_code(sb_unsigned_value(c)), c);
    }
    assert_int_equal(sb_signed_code(-1e-9f), 0);
    assert_int_equal(sb_unsigned_code(1e-30f), 1);
}

/* ---- steps --------------------------------------------------------------------------------------------- */

static sb_t build(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)map;
    (void)keys;
    return test_encoder(g, input, SIDE, 16, 60);
}

static const sb_encoder_kind of_this_file = { .name = "own", .build = build };

/* The norms of the projector are as long as a matrix has to be. */
static sb_settings configure(const char *optimiser, bool coded)
{
    char name[64];
    snprintf(name, sizeof name, "optimiser.name=%s", optimiser);
    const char *all[] = { "data.path=.",
                          "data.view=16",
                          "projector.hidden=4096",
                          "projector.out=64",
                          name,
                          "trainer.threads=2",
                          coded ? "optimiser.state=8bit" : "optimiser.state=f32" };
    sb_settings c;
    if (sb_settings_of(&c, NULL, all, sizeof all / sizeof *all) != 0)
        fail_msg("%s", sb_error());
    c.encoder = &of_this_file;
    c.trainer.batch = BATCH;
    return c;
}

static int fetch(void *context, int view, int sample, const uint8_t **pixels)
{
    static uint8_t drawn[VIEW_BYTES];
    const int64_t *number = context;
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_VIEW, (uint32_t)*number, (uint32_t)sample, (uint32_t)view);
    for (int p = 0; p < VIEW_BYTES; p++)
        drawn[p] = (uint8_t)((float)(60 + 30 * sample) + 60 * sb_random_uniform(&random));
    *pixels = drawn;
    return 0;
}

static void take_steps(sb_step *step, int64_t from, int64_t to)
{
    double loss;
    for (int64_t number = from; number < to; number++)
        if (sb_step_gradient(step, number, 0, &(sb_step_source){ .context = &number, .fetch = fetch },
                             &loss) != 0 ||
            sb_step_commit(step, number, 1e-3) != 0)
            fail_msg("%s", sb_error());
}

static sb_step *create(sb_device *device, const sb_settings *config)
{
    sb_step *step = NULL;
    if (sb_step_create(&step, device, config) != 0 || sb_step_begin(step) != 0)
        fail_msg("%s", sb_error());
    return step;
}

/* Of the weights, the largest difference over the largest step since `begin`. */
static double parted(const float *begin, const sb_step *a, const sb_step *b, size_t count)
{
    const float *x = sb_step_section(a)->weight, *y = sb_step_section(b)->weight;
    double apart = 0, moved = 0;
    for (size_t i = 0; i < count; i++) {
        apart += pow((double)x[i] - (double)y[i], 2);
        moved += pow((double)x[i] - (double)begin[i], 2);
    }
    return sqrt(apart / moved);
}

static bool same_states(const sb_step *a, const sb_step *b)
{
    int arrays;
    const size_t weights = sb_step_store(a)->floats[SB_ENTRY_WEIGHT],
                 floats = sb_step_state_layout(a)->floats;
    const float *x = sb_step_state(a, &arrays), *y = sb_step_state(b, &arrays);
    return memcmp(x, y, (size_t)arrays * floats * sizeof *x) == 0 &&
           memcmp(sb_step_section(a)->weight, sb_step_section(b)->weight, weights * sizeof *x) == 0;
}

/* A quarter of the memory for the matrices, all of it for what is small or a vector; weights that go nearly
 * the same way; and a run that is cut by a checkpoint goes on to the same bytes. */
static void test_steps(void **state)
{
    sb_device *device = *state;
    static const char *const optimisers[] = { "sgd", "adamw" };
    char folder[] = "/tmp/smallbatch-state-XXXXXX", run[PATH_MAX], command[PATH_MAX + 16];
    assert_non_null(mkdtemp(folder));
    for (int k = 0; k < 2; k++) {
        const sb_settings f32 = configure(optimisers[k], false), coded = configure(optimisers[k], true);
        sb_step *plain = create(device, &f32), *step = create(device, &coded),
                *again = create(device, &coded);
        const sb_store *store = sb_step_store(step);
        const size_t weights = store->floats[SB_ENTRY_WEIGHT], arrays = k == 0 ? 1 : 2;
        size_t floats = 0, matrices = 0;
        for (int i = 0; i < store->count; i++) {
            const sb_entry *e = &store->entries[i];
            const bool small = e->kind != SB_ENTRY_WEIGHT || e->extent.dims == 1 ||
                               strcmp(e->name, "a.weight") == 0;
            assert_int_equal(sb_state_coded(sb_step_state_layout(step), e), !small);
            matrices += small ? 0 : e->count;
            floats += e->kind != SB_ENTRY_WEIGHT ? 0
                      : small                    ? e->count
                                                 : e->count / 4 + sb_codes_blocks(e->count);
        }
        assert_true(matrices > weights / 2);
        assert_int_equal(sb_step_state_layout(step)->floats, floats);
        assert_int_equal(sb_step_state_layout(plain)->floats, weights);
        sb_step_budget full, small;
        sb_step_measure(plain, &full);
        sb_step_measure(step, &small);
        const size_t saved = arrays * (weights - floats) * sizeof(float);
        assert_true(full.weights - small.weights + 256 > saved && full.weights - small.weights < saved + 256);

        float *begin = malloc(weights * sizeof *begin);
        assert_non_null(begin);
        memcpy(begin, sb_step_section(step)->weight, weights * sizeof *begin);
        take_steps(plain, 0, STEPS);
        take_steps(step, 0, STEPS / 2);
        assert_int_equal(
            snprintf(run, sizeof run, "%s/%s", folder, optimisers[k]) > 0 ? sb_rundir_create(run) : -1, 0);
        sb_checkpoint_view view = sb_step_kept(step, STEPS / 2, "");
        if (sb_checkpoint_save(run, &view, 1) != 0)
            fail_msg("%s", sb_error());
        take_steps(step, STEPS / 2, STEPS);
        view = sb_step_kept(again, 0, "");
        if (sb_checkpoint_load_latest(run, &view) != 1 || sb_step_weights_changed(again) != 0)
            fail_msg("%s", sb_error());
        take_steps(again, STEPS / 2, STEPS);
        assert_true(same_states(step, again));
        const double apart = parted(begin, plain, step, weights);
        assert_true(apart > 1e-4 && apart < 0.1);

        view = sb_step_kept(plain, 0, "");
        assert_int_equal(sb_checkpoint_load_latest(run, &view), -1);
        view = sb_step_kept(plain, STEPS, "");
        assert_int_equal(sb_checkpoint_save(run, &view, 1), 0);
        view = sb_step_kept(step, 0, "");
        assert_int_equal(sb_checkpoint_load_latest(run, &view), -1);
        free(begin);
        sb_step_destroy(&plain);
        sb_step_destroy(&step);
        sb_step_destroy(&again);
    }
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_codes), cmocka_unit_test(test_steps) };
    return cmocka_run_group_tests(tests, test_open_cpu, test_close_cpu);
}
