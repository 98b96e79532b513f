/* What `./run watch` gathers of a run (supervisor/overview.h): from files that grow, are cut, replaced or
 * damaged; each line is read once, and a long log in pieces, into as much memory as a short one. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/rundir.h"
#include "supervisor/overview.h"
#include "supervisor/tail.h"
#include "tests/folder.h"

static char run_dir[PATH_MAX];
static sb_gatherer *gatherer;

static const char *path_of(const char *name)
{
    static char path[PATH_MAX];
    assert_int_equal(sb_rundir_path(path, run_dir, "%s", name), 0);
    return path;
}

/* how: as fopen's. */
static void put(const char *name, const char *how, const char *text, size_t bytes)
{
    FILE *file = fopen(path_of(name), how);
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}
static void append(const char *name, const char *text) { put(name, "a", text, strlen(text)); }
/* As writers replace a file: another one of its name. */
static void replace(const char *name, const char *text)
{
    assert_int_equal(sb_file_replace(path_of(name), text, strlen(text)), 0);
}

/* Until there is no more to read. */
static const sb_overview *look(void)
{
    const sb_overview *o;
    bool more;
    do
        o = sb_gatherer_look(gatherer, &more);
    while (more);
    return o;
}

static int64_t points_of(const sb_series *s)
{
    int64_t count = 0;
    for (int i = s->first; i < s->end; i++)
        count += s->count[i];
    return count;
}

static int set_up(void **state)
{
    static int number;
    (void)state;
    snprintf(run_dir, sizeof run_dir, "%s/run%d", folder, number++);
    if (sb_rundir_create(run_dir) != 0 || sb_gatherer_create(&gatherer, run_dir) != 0)
        return -1;
    put("config.yaml", "w", "", 0);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    sb_gatherer_destroy(&gatherer);
    return 0;
}

#define STEP(step, loss) "{\"step\": " #step ", \"loss\": " #loss ", \"images_per_second\": 50.0}\n"
#define EVALUATION(step, tiles, telling, rows)                                                         \
    "{\"step\":" #step ",\"tiles\":" #tiles ",\"views\":8,\"size\":64,\"telling\":{\"key\":\"" telling \
    "\",\"title\":\"" telling "\"},\"rows\":{" rows "}}\n"
#define STATUS(phase, reason)                                           \
    "{\"phase\":\"" phase "\",\"reason\":\"" reason                     \
    "\",\"step\":7,\"steps\":9,\"loss\":1.0,\"images_per_second\":1.0," \
    "\"eta_s\":1.0,\"waited\":0.0,\"bottleneck\":\"train\",\"loaders\":2,\"quarantined\":0}"

/* ---- metrics.jsonl ---------------------------------------------------------------------------------------- */

static void test_growing(void **state)
{
    (void)state;
    assert_int_equal(look()->loss.step, -1);
    append("metrics.jsonl", STEP(1, 3.5) "{\"step\": 2, \"lo");
    const sb_overview *o = look();
    assert_int_equal(o->loss.step, 1);
    assert_true(o->loss.last == 3.5 && o->rate.last == 50);
    append("metrics.jsonl", "ss\": 2.5}\n");
    o = look();
    assert_int_equal(o->loss.step, 2);
    assert_true(o->loss.last == 2.5 && isnan(o->rate.last));
    look();
    assert_int_equal(points_of(&o->loss), 2); /* each once */
    assert_int_equal(points_of(&o->rate), 1);
}

/* A trainer that goes on from an earlier step drops the lines behind it. */
static void test_replaced(void **state)
{
    (void)state;
    append("metrics.jsonl", STEP(1, 3.0) STEP(2, 2.0) STEP(3, 1.0));
    assert_int_equal(look()->loss.step, 3);
    replace("metrics.jsonl", STEP(1, 3.0));
    const sb_overview *o = look();
    assert_int_equal(o->loss.step, 1);
    assert_int_equal(points_of(&o->loss), 1);
    append("metrics.jsonl", STEP(2, 2.0) STEP(3, 1.5) STEP(4, 1.0));
    assert_int_equal(points_of(&look()->loss), 4);
    assert_int_equal(truncate(path_of("metrics.jsonl"), 10), 0); /* cut where it lies */
    o = look();
    assert_int_equal(o->loss.step, -1);
    assert_int_equal(unlink(path_of("metrics.jsonl")), 0);
    assert_int_equal(look()->loss.step, -1);
    append("metrics.jsonl", STEP(5, 1.0));
    assert_int_equal(look()->loss.step, 5);
}

static void test_damaged(void **state)
{
    (void)state;
    static const char zeros[] =
        "\0\0\0\0\0\n[1, 2]\n\"step\"\n{\"step\": 1.5}\n{\"step\": -3, \"loss\": 1.0}\n{\"step\": "
        "\"4\"}\n\xFF\n\n"
        "{\"step\": 4, \"loss\": \"low\"}\n{\"step\": 9223372036854775807, \"loss\": 1e999}\n";
    put("metrics.jsonl", "a", zeros, sizeof zeros - 1);
    char *line = malloc(SB_TAIL_LINE + 100); /* longer than any line of ours */
    assert_non_null(line);
    memset(line, 'x', SB_TAIL_LINE + 99);
    line[SB_TAIL_LINE + 99] = '\n';
    put("metrics.jsonl", "a", line, SB_TAIL_LINE + 100);
    free(line);
    const sb_overview *o = look();
    assert_int_equal(points_of(&o->loss), 0);
    assert_int_equal(o->loss.step, 4);
    assert_true(isnan(o->loss.last));
    append("metrics.jsonl", STEP(6, 2.0));
    o = look();
    assert_int_equal(points_of(&o->loss), 1);
    assert_int_equal(o->loss.step, 6);
    assert_int_equal(unlink(path_of("metrics.jsonl")), 0);
    assert_int_equal(mkdir(path_of("metrics.jsonl"), 0777), 0); /* nothing to read */
    assert_non_null(strstr(look()->trouble, "metrics.jsonl is not a regular file"));
}

/* A log of many MiB is read in pieces; its series stays as small, and has the mean of all steps. */
static void test_long(void **state)
{
    (void)state;
    enum { STEPS = 200000 };
    FILE *file = fopen(path_of("metrics.jsonl"), "w");
    assert_non_null(file);
    for (int step = 1; step <= STEPS; step++)
        fprintf(file, "{\"step\": %d, \"loss\": %d.0, \"images_per_second\": 50.0}\n", step, step);
    assert_int_equal(fclose(file), 0);
    bool more;
    int looks = 1;
    const sb_overview *o = sb_gatherer_look(gatherer, &more);
    for (; more; looks++)
        o = sb_gatherer_look(gatherer, &more);
    assert_true(looks > 2);
    assert_int_equal(o->loss.step, STEPS);
    assert_int_equal(points_of(&o->loss), STEPS);
    assert_int_equal(o->loss.span, 256);
    assert_in_range(o->loss.end, SB_SERIES_POINTS / 2, SB_SERIES_POINTS);
    for (int i = 1; i < o->loss.end - 1; i++) {
        assert_int_equal(o->loss.count[i], 256);
        assert_true(o->loss.sum[i] / 256 == i * 256 + 127.5);
    }
}

/* ---- evaluation.jsonl, alarms.jsonl, log/ ----------------------------------------------------------------- */

static void test_measure(void **state)
{
    (void)state;
    assert_string_equal(look()->measure.name, "");
    append("evaluation.jsonl",
           EVALUATION(0, 27, "group", "\"trained\":{\"group\":0.25},\"untrained\":{\"group\":0.5}"));
    append(
        "evaluation.jsonl",
        EVALUATION(5, 27, "group",
                   "\"trained\":{\"group\":0.75},\"untrained\":{\"group\":0.5},\"given\":{\"group\":0.6}"));
    append("evaluation.jsonl", "{\"step\": 6, \"rows\": 7}\n{\"step\": 7, \"telling\": {\"key\": \"group\", "
                               "\"title\": \"group\"}, \"rows\": []}\n" /* no values */);
    const sb_overview *o = look();
    assert_string_equal(o->measure.name, "group");
    assert_int_equal(points_of(&o->measure.trained), 0); /* the last line has other tiles, and no value */
    append("evaluation.jsonl",
           EVALUATION(10, 27, "group", "\"trained\":{\"group\":0.8},\"untrained\":{\"group\":0.5}"));
    append("evaluation.jsonl",
           EVALUATION(15, 27, "group", "\"trained\":{\"group\":0.9},\"untrained\":{\"group\":0.5}"));
    o = look();
    assert_int_equal(points_of(&o->measure.trained), 2);
    assert_true(o->measure.trained.last == 90 && o->measure.untrained == 50 && isnan(o->measure.given));
    append("evaluation.jsonl", EVALUATION(20, 27, "knn\\u001b", "\"trained\":{\"knn\\u001b\":0.9}"));
    o = look();
    assert_string_equal(o->measure.name, "knn ");
    assert_int_equal(points_of(&o->measure.trained), 1);
    assert_true(isnan(o->measure.untrained));
}

static void test_alarms(void **state)
{
    (void)state;
    append("alarms.jsonl", "{\"step\": 3, \"alarm\": \"stall\", \"what\": \"it stands\"}\nno json\n");
    append("status.json", STATUS("training", ""));
    assert_int_equal(look()->alarms, 1);
    append("alarms.jsonl", "{\"step\": 5, \"alarm\": \"collapse\\u009b\", \"what\": \"it fell\"}\n");
    const sb_overview *o = look();
    assert_int_equal(o->alarms, 2);
    assert_string_equal(o->state.status.alarm.name, "collapse  ");
    replace("alarms.jsonl", "");
    assert_int_equal(look()->alarms, 0);
}

static const char *message(const sb_overview *o, int back)
{
    return o->message[(o->messages - 1 - back) % SB_OVERVIEW_MESSAGES];
}

static void test_messages(void **state)
{
    (void)state;
    append("log/trainer.log",
           "smallbatch trainer: device: CPU\nsome library\nsmallbatch trainer: a\x1B[2J\xC2\x9B"
           "b\xFF\nsmallbatch");
    append("log/loader.log", "smallbatch loader: it reads\n");
    const sb_overview *o = look();
    assert_int_equal(o->messages, 3);
    assert_string_equal(message(o, 2), "loader: it reads");
    assert_string_equal(message(o, 1), "trainer: device: CPU");
    assert_string_equal(message(o, 0), "trainer: a [2J  b?");
    append("log/trainer.log", " trainer: whole\n");
    append("log/supervisor.log", "smallbatch supervisor: no program of a run\n");
    o = look();
    assert_int_equal(o->messages, 4);
    assert_string_equal(message(o, 0), "trainer: whole");
    char line[256];
    for (int i = 0; i < 5000; i++) { /* more than is looked at of an old log */
        snprintf(line, sizeof line, "smallbatch augment: %d\n", i);
        append("log/augment.log", line);
    }
    sb_gatherer_destroy(&gatherer);
    assert_int_equal(sb_gatherer_create(&gatherer, run_dir), 0);
    o = look();
    assert_in_range(o->messages, 1000, 2000);
    assert_string_equal(message(o, 3), "augment: 4999");
}

/* ---- the state -------------------------------------------------------------------------------------------- */

static void test_states(void **state)
{
    (void)state;
    const sb_overview *o = look();
    assert_int_equal(o->state.kind, SB_STATE_NEW);
    replace("status.json", STATUS("finished", ""));
    assert_int_equal(look()->state.kind, SB_STATE_FINISHED);
    replace("status.json", STATUS("stopped", ""));
    assert_int_equal(look()->state.kind, SB_STATE_STOPPED);
    replace("status.json", STATUS("stopped", "collapse at step 3"));
    assert_int_equal(look()->state.kind, SB_STATE_ALARMED);
    replace("status.json", STATUS("failed", "trainer cannot go on"));
    o = look();
    assert_int_equal(o->state.kind, SB_STATE_FAILED);
    assert_non_null(strstr(o->state.text, ": trainer cannot go on"));
    replace("status.json", STATUS("training", ""));
    assert_int_equal(look()->state.kind, SB_STATE_KILLED);
    replace("status.json", "{\"phase\":"); /* as a power failure leaves it */
    o = look();
    assert_int_equal(o->state.kind, SB_STATE_KILLED);
    assert_non_null(strstr(o->state.text, "ended without a word that can be read ("));
    assert_non_null(strstr(o->state.text, "no step is saved"));
    append("metrics.jsonl", STEP(1, 3.0));
    assert_int_equal(look()->loss.step, 1);
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -r %s", run_dir);
    assert_int_equal(system(command), 0);
    o = look();
    assert_int_equal(o->state.kind, SB_STATE_GONE);
    assert_int_equal(o->loss.step, -1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = { CASE(test_growing),  CASE(test_replaced), CASE(test_damaged),
                                        CASE(test_long),     CASE(test_measure),  CASE(test_alarms),
                                        CASE(test_messages), CASE(test_states) };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
