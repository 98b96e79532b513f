/* test_scale.c: the training step in f16, on the emulated GPU: its gradients are f32's as far as f16 has
 * digits, which they are not without a scale; a step that overflows changes the scale and nothing else; and
 * a checkpoint has all that the next step needs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/device.h"
#include "proto/error.h"
#include "proto/random.h"
#include "proto/rundir.h"
#include "tests/step.h"
#include "trainer/checkpoint.h"
#include "trainer/encoder.h"
#include "trainer/graph/build.h"
#include "trainer/step/step.h"

#define BATCH 5
#define SIDE 20
#define VIEW_BYTES (SIDE * SIDE * 3)
#define LR 1e-3
#define FIRST 10 /* the number of the first step: behind those that only fill a queue */

static uint8_t pixels[2][BATCH][VIEW_BYTES];

static int fetch(void *context, int view, int sample, const uint8_t **out)
{
    (void)context;
    *out = pixels[view][sample];
    return 0;
}

static const sb_step_source source = { .fetch = fetch };

/* A colour of the sample's own, and noise. */
static void draw(void)
{
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_VIEW, 0, 0, 0);
    for (int i = 0; i < BATCH; i++)
        for (int c = 0; c < 3; c++) {
            const float own = 60 + 130 * sb_random_uniform(&random);
            for (int v = 0; v < 2; v++)
                for (int p = c; p < VIEW_BYTES; p += 3)
                    pixels[v][i][p] = (uint8_t)(own + 60 * (sb_random_uniform(&random) - 0.5f));
        }
}

/* No ReLU, at whose kinks a gradient may be any. */
static sb_t build(sb_graph *g, const void *keys, const sb_encoder_input *input, sb_encoder_map *map)
{
    (void)map;
    (void)keys;
    sb_t t = test_input(g, SIDE, input->channels, input->type);
    t = sb_conv(g, t, "a", .out = 16, .kernel = 3, .stride = 1, .pad = 1);
    t = sb_batchnorm(g, t, SB_NONE, "norm");
    t = sb_conv(g, t, "b", .out = 24, .kernel = 3, .stride = 2, .pad = 1);
    t = sb_conv(g, t, "c", .out = 20, .kernel = 1, .stride = 1);
    return sb_output(g, sb_avgpool(g, t), true);
}

static const sb_encoder_kind own = { .name = "own", .build = build };

/* ---- a run --------------------------------------------------------------------------------------------- */

typedef struct {
    sb_settings config;
    sb_device *device;
    sb_step *step;
} run;

static void expect(int rc)
{
    if (rc != 0)
        fail_msg("%s", sb_error());
}

static void begin(run *r, const char *precision, const char *method, int chunk, int accumulate)
{
    char texts[2][48];
    snprintf(texts[0], sizeof texts[0], "trainer.precision=%s", precision);
    snprintf(texts[1], sizeof texts[1], "method.name=%s", method);
    const char *keys[] = { "data.path=.", "data.view=20", "projector.hidden=20",  "projector.out=16",
                           texts[0],      texts[1],       "optimiser.name=adamw", "method.queue=15" };
    *r = (run){ 0 };
    expect(sb_settings_of(&r->config, NULL, keys, strcmp(method, "moco2") == 0 ? 8 : 7));
    r->config.encoder = &own;
    r->config.trainer.batch = BATCH;
    r->config.trainer.chunk = chunk;
    r->config.trainer.accumulate = accumulate;
    expect(sb_device_cuda(&r->device));
    expect(sb_step_create(&r->step, r->device, &r->config));
    expect(sb_step_begin(r->step));
}

static void end(run *r)
{
    sb_step_destroy(&r->step);
    sb_device_close(&r->device);
}

static size_t weights_of(const run *r) { return sb_step_store(r->step)->floats[SB_ENTRY_WEIGHT]; }

static void take(const run *r, const float *from, size_t floats, float *out)
{
    expect(r->device->copy(r->device, SB_STREAM_COMPUTE, out, from, floats * sizeof *out, SB_TO_HOST));
    expect(r->device->wait(r->device, SB_STREAM_COMPUTE));
}

static void give(const run *r, float *to, const void *values, size_t floats)
{
    expect(r->device->copy(r->device, SB_STREAM_COMPUTE, to, values, floats * sizeof *to, SB_TO_DEVICE));
    expect(r->device->wait(r->device, SB_STREAM_COMPUTE));
}

static float *state_of_scale(const run *r)
{
    const sb_store *store = sb_step_store(r->step);
    for (int i = 0; i < store->count; i++)
        if (strcmp(store->entries[i].name, "loss_scale") == 0)
            return sb_step_section(r->step)->state + store->entries[i].offset;
    fail_msg("there is no scale");
    return NULL;
}

/* As if a checkpoint had it. */
static void set_scale(const run *r, float factor, float good, float skipped)
{
    const float values[] = { factor, good, skipped };
    give(r, state_of_scale(r), values, 3);
    expect(sb_step_weights_changed(r->step));
}

static void expect_scale(const run *r, float factor, float good, float skipped)
{
    float kept[3];
    const sb_step_scale *s = sb_step_scale_of(r->step);
    take(r, state_of_scale(r), 3, kept);
    if (s->factor != factor || s->good != good || s->skipped != skipped)
        fail_msg("a scale of %g after %g steps, %g skipped", (double)s->factor, (double)s->good,
                 (double)s->skipped);
    assert_memory_equal(kept, s, sizeof kept);
}

static void gradient(const run *r, int64_t number)
{
    double loss;
    for (int part = 0; part < r->config.trainer.accumulate; part++)
        expect(sb_step_gradient(r->step, FIRST + number, part, &source, &loss));
}

static int commit(const run *r, int64_t number) { return sb_step_commit(r->step, FIRST + number, LR); }

/* All that a checkpoint has, one array after the other. Returns how many floats. scale: that, too. */
static size_t all_of(const run *r, bool scale, float **out)
{
    const sb_checkpoint_view v = sb_step_kept(r->step, 0, "");
    size_t floats = 0, at = 0;
    for (int p = 0; p < v.part_count; p++)
        floats += v.parts[p].floats;
    *out = malloc((floats + 1) * sizeof **out);
    assert_non_null(*out);
    for (int p = 0; p < v.part_count; p++) {
        size_t count = v.parts[p].floats;
        if (v.parts[p].kind == SB_ENTRY_STATE && !scale) /* its last three */
            count -= 3;
        if (count > 0)
            take(r, v.parts[p].memory, count, *out + at);
        at += count;
    }
    return at;
}

/* ---- tests --------------------------------------------------------------------------------------------- */

/* |a - b| / |b| of the backbone's gradient, where the loss is divided by 4096 and so are gradients. */
static double off(float factor, int chunk)
{
    run r[2];
    float *g[2];
    double difference = 0, size = 0;
    size_t count = 0;
    for (int i = 0; i < 2; i++) {
        double loss;
        begin(&r[i], i ? "f32" : "f16", "simclr", chunk, 4096);
        if (i == 0)
            set_scale(&r[i], factor, 0, 0);
        expect(sb_step_gradient(r[i].step, FIRST, 0, &source, &loss));
        count = sb_step_backbone(r[i].step)[SB_ENTRY_WEIGHT];
        g[i] = malloc(count * sizeof *g[i]);
        assert_non_null(g[i]);
        take(&r[i], sb_step_section(r[i].step)->gradient, count, g[i]);
        end(&r[i]);
    }
    for (size_t k = 0; k < count; k++) {
        const double a = (double)g[0][k] / (double)factor, b = (double)g[1][k];
        difference += (a - b) * (a - b);
        size += b * b;
    }
    free(g[0]);
    free(g[1]);
    return sqrt(difference / size);
}

/* A dozen roundings there and back, each wrong by 2^-11 at most, and a norm that takes the mean out of a
 * gradient, which makes what is left of it, and the error in it, larger. Without a scale much of what comes
 * back is below 2^-25, which is 0, or has a digit or two. Seen: 0.004 and 0.45;
 * in chunks 0.002 and 0.12. */
static void gradients_are_those_of_f32(void **state)
{
    (void)state;
    for (int chunk = 0; chunk < 5; chunk += 4) {
        const double with = off(65536, chunk), without = off(1, chunk);
        print_message("# chunk %d: %.1e, without a scale %.1e\n", chunk, with, without);
        assert_true(with > 0 && with < 20.0 / 2048);
        assert_true(without > 20 * with);
    }
}

/* Its scale, and after 2000 steps in a row twice that. */
static void begins_as_pytorch(void **state)
{
    (void)state;
    run r;
    begin(&r, "f16", "moco2", 0, 1);
    expect_scale(&r, 65536, 0, 0);
    set_scale(&r, 1024, 0, 0);
    gradient(&r, 0);
    assert_int_equal(commit(&r, 0), 0);
    expect_scale(&r, 1024, 1, 0);
    set_scale(&r, 1024, 1998, 3);
    gradient(&r, 1);
    assert_int_equal(commit(&r, 1), 0);
    expect_scale(&r, 1024, 1999, 3);
    gradient(&r, 2);
    assert_int_equal(commit(&r, 2), 0);
    expect_scale(&r, 2048, 0, 3);
    end(&r);
}

/* In steps of the heads alone nothing goes through the backbone that might be too large. */
static void heads_alone_do_not_try_it(void **state)
{
    (void)state;
    run r;
    begin(&r, "f16", "simclr", 0, 1);
    r.config.continuing = (sb_continue_keys){ .enabled = true, .heads = FIRST + 2, .ramp = 1, .lr = 0.1 };
    set_scale(&r, 1024, 1999, 0);
    for (int number = 0; number < 3; number++) {
        expect_scale(&r, 1024, 1999, 0);
        gradient(&r, number);
        assert_int_equal(commit(&r, number), 0);
    }
    expect_scale(&r, 2048, 0, 0);
    end(&r);
}

static void overflow_changes_nothing(void **state)
{
    (void)state;
    const struct {
        const char *method;
        int chunk, accumulate;
    } cases[] = { { "moco2", 0, 1 }, { "moco2", 4, 1 }, { "simclr", 4, 2 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run r;
        float *before, *after;
        begin(&r, "f16", cases[i].method, cases[i].chunk, cases[i].accumulate);
        set_scale(&r, 1024, 0, 0);
        gradient(&r, 0);
        assert_int_equal(commit(&r, 0), 0);
        set_scale(&r, 0x1p60f, 7, 1);
        const size_t floats = all_of(&r, false, &before);
        gradient(&r, 1);
        assert_int_equal(commit(&r, 1), 1);
        expect_scale(&r, 0x1p59f, 0, 2);
        assert_int_equal(all_of(&r, false, &after), floats);
        assert_memory_equal(after, before, floats * sizeof *before);
        free(after);
        set_scale(&r, 1024, 0, 2);
        gradient(&r, 2);
        assert_int_equal(commit(&r, 2), 0);
        expect_scale(&r, 1024, 1, 2);
        assert_int_equal(all_of(&r, false, &after), floats);
        assert_memory_not_equal(after, before, floats * sizeof *before);
        free(after);
        free(before);
        end(&r);
    }
}

/* In whichever weight it is: the first and the last of the backbone's and of the heads'. */
static void any_gradient_counts(void **state)
{
    (void)state;
    run r;
    begin(&r, "f16", "simclr", 0, 1);
    const size_t backbone = sb_step_backbone(r.step)[SB_ENTRY_WEIGHT],
                 places[] = { 0, backbone - 1, backbone, weights_of(&r) - 1 };
    const float wrong[] = { NAN, INFINITY, -INFINITY, NAN };
    for (int i = 0; i < 4; i++) {
        set_scale(&r, 65536, 0, 0);
        gradient(&r, i);
        give(&r, sb_step_section(r.step)->gradient + places[i], &wrong[i], 1);
        assert_int_equal(commit(&r, i), 1);
        expect_scale(&r, 32768, 0, 1);
    }
    set_scale(&r, 1, 0, 0);
    gradient(&r, 4);
    give(&r, sb_step_section(r.step)->gradient, &wrong[0], 1);
    assert_int_equal(commit(&r, 4), -1);
    assert_non_null(strstr(sb_error(), "trainer.precision=bf16"));
    end(&r);
}

/* The optimiser's first step is its first, whatever was skipped before: AdamW divides by 1 - beta^k. */
static void optimiser_does_not_count_it(void **state)
{
    (void)state;
    float *weights[2];
    size_t floats = 0;
    for (int skips = 0; skips < 2; skips++) {
        run r;
        const float wrong = NAN;
        begin(&r, "f16", "simclr", 0, 1);
        if (skips) {
            gradient(&r, 0);
            give(&r, sb_step_section(r.step)->gradient, &wrong, 1);
            assert_int_equal(commit(&r, 0), 1);
        }
        set_scale(&r, 1024, 0, (float)skips);
        gradient(&r, 1);
        assert_int_equal(commit(&r, skips), 0);
        floats = weights_of(&r);
        weights[skips] = malloc(floats * sizeof(float));
        assert_non_null(weights[skips]);
        take(&r, sb_step_section(r.step)->weight, floats, weights[skips]);
        end(&r);
    }
    assert_memory_equal(weights[0], weights[1], floats * sizeof(float));
    free(weights[0]);
    free(weights[1]);
}

/* Two steps behind one that was skipped, with a checkpoint between and without: the same bytes. */
static void resumes_the_same(void **state)
{
    (void)state;
    char folder[] = "/tmp/smallbatch-scale-XXXXXX", path[PATH_MAX], command[PATH_MAX + 16];
    run r, other;
    float *wanted, *got;
    assert_non_null(mkdtemp(folder));
    expect(sb_rundir_path(path, folder, "run"));
    expect(sb_rundir_create(path));
    begin(&r, "f16", "moco2", 4, 1);
    begin(&other, "f16", "moco2", 4, 1);
    set_scale(&r, 0x1p60f, 0, 0);
    gradient(&r, 0);
    assert_int_equal(commit(&r, 0), 1);
    set_scale(&r, 512, 1998, 1);
    for (int number = 1; number < 4; number++) {
        if (number == 2) {
            sb_checkpoint_view saved = sb_step_kept(r.step, 0, "seed: 1\n"),
                               loaded = sb_step_kept(other.step, 0, "seed: 1\n");
            saved.step = number;
            expect(sb_checkpoint_save(path, &saved, 1));
            assert_int_equal(sb_checkpoint_load_latest(path, &loaded), 1);
            expect(sb_step_weights_changed(other.step));
            expect_scale(&other, 512, 1999, 1);
        }
        gradient(&r, number);
        assert_int_equal(commit(&r, number), 0);
        if (number < 2)
            continue;
        gradient(&other, number);
        assert_int_equal(commit(&other, number), 0);
    }
    expect_scale(&other, 1024, 1, 1);
    const size_t floats = all_of(&r, true, &wanted);
    assert_int_equal(all_of(&other, true, &got), floats);
    assert_memory_equal(got, wanted, floats * sizeof *got);
    free(wanted);
    free(got);
    end(&r);
    end(&other);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* Others have no scale, and nothing of one in their checkpoints. */
static void others_have_none(void **state)
{
    (void)state;
    const char *const others[] = { "f32", "bf16" };
    for (int i = 0; i < 2; i++) {
        run r;
        begin(&r, others[i], "simclr", 0, 1);
        assert_null(sb_step_scale_of(r.step));
        assert_int_equal(sb_step_store(r.step)->floats[SB_ENTRY_STATE], 0);
        end(&r);
    }
}

int main(void)
{
    unsetenv("XDG_CACHE_HOME"); /* with no place to keep a choice, plans are not timed */
    unsetenv("HOME");
    draw();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_f32), cmocka_unit_test(begins_as_pytorch),
        cmocka_unit_test(heads_alone_do_not_try_it),  cmocka_unit_test(overflow_changes_nothing),
        cmocka_unit_test(any_gradient_counts),        cmocka_unit_test(optimiser_does_not_count_it),
        cmocka_unit_test(resumes_the_same),           cmocka_unit_test(others_have_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
