/* watch.h, and the rules behind it (spike.h, stall.h, collapse.h): what raises an alarm, that it is raised
 * once, and what raises none: streams made here, and those of real runs (recorded/README.md). A run that goes
 * on has what one that was never interrupted has. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <jansson.h>

#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/random.h"
#include "proto/rundir.h"
#include "tests/folder.h"
#include "trainer/watch.h"

#define RECORDED "tests/unit/recorded"

static sb_random noise;

static int set_up(void **state)
{
    sb_random_init(&noise, 1, SB_RANDOM_VIEW, 0, 0, 0);
    return make_folder(state);
}

/* About normal, of deviation 1. */
static double draw(void)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (double)sb_random_below(&noise, 1 << 20) / (1 << 20);
    return sum - 6;
}

/* ---- spikes ---------------------------------------------------------------------------------------------- */

/* How often it is said of 400 losses: level + rise * step, of deviation 0.1, and of steps from..to-1 `more`.
 */
static int count_spikes(double level, double rise, int from, int to, double more)
{
    sb_spike s = { 0 };
    int said = 0;
    for (int step = 1; step <= 400; step++) {
        const bool spikes = sb_spike_look(&s, level + rise * step + 0.1 * draw() +
                                                  (step >= from && step < to ? more : 0));
        said += spikes;
        if (spikes)
            assert_in_range(step, from + SB_SPIKE_HIGH - 1, from + SB_SPIKE_LATEST - 1);
    }
    return said;
}

static void test_spikes(void **state)
{
    (void)state;
    assert_int_equal(count_spikes(3, 0, 0, 0, 0), 0);
    assert_int_equal(count_spikes(3, -0.005, 0, 0, 0), 0);
    assert_int_equal(count_spikes(0, 0.01, 0, 0, 0), 0);    /* it rises, without a jump */
    assert_int_equal(count_spikes(3, 0, 200, 202, 5), 0);   /* odd batches */
    assert_int_equal(count_spikes(3, 0, 200, 400, 0.3), 0); /* no more than noise */
    assert_int_equal(count_spikes(3, 0, 200, 203, 2), 1);
    assert_int_equal(count_spikes(-3, 0, 200, 400, 2), 1); /* it stays there */
    assert_int_equal(count_spikes(3, 0, 10, 400, 2), 0);   /* nothing is known before it */
    assert_int_equal(count_spikes(3, 0, 200, 400, -2), 0); /* it falls */
    sb_spike s = { 0 };
    int said = 0;
    for (int step = 1; step <= 400; step++) /* two of them */
        said += sb_spike_look(&s, step % 150 < 140 ? 1 : 2);
    assert_int_equal(said, 2);
    s = (sb_spike){ 0 };
    for (int step = 1; step <= 200; step++) /* hardly any noise, hardly any jump */
        assert_false(sb_spike_look(&s, 4 + 1e-6 * draw() + (step > 100 ? 0.05 : 0)));
}

/* ---- stalls ---------------------------------------------------------------------------------------------- */

static void test_no_change(void **state)
{
    (void)state;
    const struct {
        double fall, weaken; /* of loss and gradient, over the run */
        int64_t steps;
        bool stalls;
    } cases[] = { { 0, 0, 1000, true },    { 0, 0, 300, true },    { 1, 0, 1000, false },
                  { 0, 0.5, 1000, false }, { -1, 0, 1000, false }, { 0, 0, 199, false } };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sb_stall s = { 0 };
        int said = 0;
        for (int64_t step = 1; step <= cases[c].steps; step++) {
            const double done = (double)step / (double)cases[c].steps;
            const sb_stall_found found = sb_stall_look(&s, step, cases[c].steps,
                                                       3 - cases[c].fall * done + 0.1 * draw(),
                                                       1 - cases[c].weaken * done + 0.1 * draw());
            said += found == SB_STALL_NO_CHANGE;
            assert_int_not_equal(found, SB_STALL_NO_GRADIENT);
        }
        assert_int_equal(said, cases[c].stalls);
    }
}

static void test_no_gradient(void **state)
{
    (void)state;
    const struct {
        double gradient; /* from step 151 to 260 */
        int said;
    } cases[] = { { 1e-6, 1 }, { 0, 1 }, { NAN, 1 }, { 1e-3, 0 } };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sb_stall s = { 0 };
        int said = 0;
        for (int64_t step = 1; step <= 400; step++) {
            const bool within = step > 150 && step <= 260;
            const sb_stall_found found = sb_stall_look(&s, step, 100000, 3,
                                                       within ? cases[c].gradient : 2 + 0.1 * draw());
            said += found == SB_STALL_NO_GRADIENT;
            if (found != SB_STALL_NONE)
                assert_int_equal(step, 150 + SB_STALL_STILL);
        }
        assert_int_equal(said, cases[c].said);
    }
    sb_stall s = { 0 };
    for (int64_t step = 1; step <= 150; step++) /* nothing but skipped steps */
        assert_int_equal(sb_stall_look(&s, step, 100000, 3, NAN),
                         step == SB_STALL_STILL ? SB_STALL_NO_GRADIENT : SB_STALL_NONE);
}

static void test_collapse(void **state)
{
    (void)state;
    const double looks[] = { 0.05, 0.05, 0.5, 0.05, 0.05, 0.05, 0.05, 0.9, 0.05, 0.05, 0.05 };
    const bool said[] = { 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1 };
    sb_collapse c = { 0 };
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        assert_int_equal(sb_collapse_look(&c, looks[i]), said[i]);
}

/* ---- whole runs ------------------------------------------------------------------------------------------- */

/* A run, or the part of it that was read so far. */
typedef struct {
    sb_watch watch;
    char raised[256]; /* "spike 72, collapse 80" */
    int lines;
} course;

static void configure(sb_settings *config, const char *steps, const char *size)
{
    const char *const keys[] = { "data.path=.", "method.name=dcl", steps, size };
    if (sb_settings_of(config, NULL, keys, sizeof keys / sizeof *keys) != 0)
        fail_msg("%s", sb_error());
}

static void take(course *c, const sb_step_metrics *m)
{
    sb_alarm alarms[SB_WATCH_ALARMS];
    const int count = sb_watch_step(&c->watch, m, alarms);
    for (int i = 0; i < count; i++) {
        const size_t used = strlen(c->raised);
        assert_true(alarms[i].step == m->step && alarms[i].what[0] && alarms[i].advice);
        snprintf(c->raised + used, sizeof c->raised - used, "%s%s %d", used ? ", " : "", alarms[i].name,
                 (int)m->step);
    }
    c->lines++;
}

static void take_line(void *context, const json_t *line)
{
    const sb_step_metrics m = sb_metrics_of(line);
    take(context, &m);
}

/* recorded/NAME.jsonl is of a good run; NAME.ALARM.jsonl is of one that raises ALARM first. */
static void test_recorded(void **state)
{
    (void)state;
    int runs = 0, wrong = 0;
    DIR *files = opendir(RECORDED);
    assert_non_null(files);
    for (struct dirent *entry; (entry = readdir(files));) {
        static sb_settings config;
        char name[64], alarm[64];
        const int parts = sscanf(entry->d_name, "%63[^.].%63[^.].jsonl", name, alarm);
        const bool good = parts == 2 && strcmp(alarm, "jsonl") == 0;
        if (parts != 2 || strcmp(alarm, "md") == 0)
            continue;
        configure(&config, "trainer.steps=300", "data.view=128");
        course c = { 0 };
        c.watch.config = &config;
        assert_int_equal(sb_jsonl_read(RECORDED, entry->d_name, take_line, &c), 0);
        const bool right = good ? c.raised[0] == '\0' : strncmp(c.raised, alarm, strlen(alarm)) == 0;
        if (c.lines < 90 || !right)
            print_error("%s: %d steps, alarms: %s\n", entry->d_name, c.lines, c.raised);
        wrong += c.lines < 90 || !right;
        runs++;
    }
    closedir(files);
    assert_int_equal(wrong, 0);
    assert_in_range(runs, 13, 1000);
}

/* Of a run in which everything happens. */
static sb_step_metrics metrics_of(int64_t step)
{
    const double wave = sin((double)step * 1.7);
    return (sb_step_metrics){ .step = step,
                              .loss = (step % 150 < 140 ? 2 + 0.05 * wave : 3) - 0.001 * (double)step,
                              .gradient_norm = step < 220 ? 1 + 0.1 * wave : 1e-9,
                              .skipped = step % 31 == 0,
                              .looked = step % 10 == 0,
                              .deviation = step < 100 ? 0.5 : 0.05 + 0.01 * wave,
                              .rank = 3,
                              .scale = 1,
                              .leak = step % 20 == 0 ? 0.5 + 0.01 * wave : NAN };
}

static void test_resumed(void **state)
{
    (void)state;
    static sb_settings config;
    char run[PATH_MAX];
    assert_int_equal(sb_rundir_path(run, folder, "run"), 0);
    assert_int_equal(sb_rundir_create(run), 0);
    configure(&config, "trainer.steps=400", "data.view=32");
    course c = { 0 };
    assert_int_equal(sb_watch_begin(&c.watch, &config, run), 0);
    for (int64_t step = 1; step <= 350; step++) {
        const sb_step_metrics m = metrics_of(step);
        assert_int_equal(sb_metrics_append(run, &m), 0);
        take(&c, &m);
        if (step % 29 == 0) { /* killed here */
            static sb_watch again;
            assert_int_equal(sb_watch_begin(&again, &config, run), 0);
            assert_memory_equal(&again.collapse, &c.watch.collapse, sizeof again.collapse);
            assert_memory_equal(&again.leak, &c.watch.leak, sizeof again.leak);
            assert_memory_equal(&again.spike, &c.watch.spike, sizeof again.spike);
            assert_memory_equal(&again.stall, &c.watch.stall, sizeof again.stall);
            assert_int_equal(again.until, c.watch.until);
        }
    }
    assert_string_equal(c.raised, "collapse 120, spike 142, leak 160, spike 292, stall 319");
}

/* A jump where views become larger is none. */
static void test_sizes(void **state)
{
    (void)state;
    static sb_settings config;
    for (int grow = 0; grow < 2; grow++) {
        configure(&config, "trainer.steps=200", grow ? "views.0.size=32 64@0.5" : "data.view=32");
        course c = { 0 };
        c.watch.config = &config;
        for (int64_t step = 1; step <= 200; step++)
            take(&c, &(sb_step_metrics){ .step = step,
                                         .loss = step <= 100 ? 1 : 3,
                                         .gradient_norm = 1 + 0.001 * (double)step,
                                         .leak = NAN });
        assert_string_equal(c.raised, grow ? "" : "spike 103");
    }
}

/* ---- the record ------------------------------------------------------------------------------------------- */

static void test_record(void **state)
{
    (void)state;
    char run[PATH_MAX], line[256], *text;
    size_t bytes;
    sb_alarm_past last;
    sb_status status = { .step = 7, .steps = 9, .phase = "stopped", .bottleneck = "train" };
    assert_int_equal(sb_rundir_path(run, folder, "record"), 0);
    assert_int_equal(sb_rundir_create(run), 0);
    assert_int_equal(sb_alarm_last(run, &last), 0);
    assert_string_equal(last.name, "");
    sb_alarm a = {
        .name = "spike", .step = 5, .values = { { "loss", 2 } }, .what = "it jumps", .advice = "Sit"
    };
    assert_int_equal(sb_alarm_raise(run, &a), 0);
    a.step = 7;
    a.name = "collapse";
    assert_int_equal(sb_alarm_raise(run, &a), 0);
    assert_int_equal(sb_alarm_last(run, &last), 0);
    assert_string_equal(last.name, "collapse");
    assert_int_equal(last.step, 7);
    assert_string_equal(last.what, "it jumps");
    char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, run, "alarms.jsonl"), 0);
    assert_int_equal(sb_file_read(path, 4096, &text, &bytes), 0);
    assert_non_null(strstr(
        text,
        "{\"step\":5,\"alarm\":\"spike\",\"values\":{\"loss\":2.0},\"what\":\"it jumps\",\"do\":\"Sit\"}\n"));
    free(text);
    assert_int_equal(sb_status_write(run, &status), 0);
    assert_int_equal(sb_status_read(run, &status), 0);
    assert_int_equal(sb_status_line(&status, line, sizeof line), 0);
    assert_non_null(strstr(line, "  alarm: collapse at step 7"));
    a.values[0].value = NAN;
    assert_int_equal(sb_alarm_raise(run, &a), 0); /* what cannot be written is left out */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spikes),   cmocka_unit_test(test_no_change), cmocka_unit_test(test_no_gradient),
        cmocka_unit_test(test_collapse), cmocka_unit_test(test_recorded),  cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_record),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
