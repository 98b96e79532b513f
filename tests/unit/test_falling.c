/* falling.h and best.h: when held-out quality falls by more than chance, of which measure that is said, and
 * once; and which checkpoint is the best. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "evaluator/best.h"
#include "evaluator/falling.h"
#include "proto/error.h"
#include "proto/rundir.h"
#include "tests/folder.h"
#include "trainer/checkpoint.h"

#define TILES 200

static sb_tile tiles[TILES];
static sb_image images[TILES];

/* How often values raise the alarm, and behind which (the last time). */
static int count_alarms(int cases, const double *values, int count, int *last)
{
    sb_falling f = { .cases = cases };
    int said = 0;
    for (int i = 0; i < count; i++)
        if (sb_falling_look(&f, i + 1, values[i])) {
            said++;
            *last = i;
        }
    return said;
}

static void test_rule(void **state)
{
    (void)state;
    int last = -1;
    const double falls[] = { 0.5, 0.8, 0.8, 0.8, 0.6, 0.5, 0.5, 0.5 },
                 returns[] = { 0.8, 0.8, 0.8, 0.6, 0.8, 0.8, 0.6, 0.8 },
                 rises[] = { 0.2, 0.3, 0.25, 0.4, 0.41, 0.5, 0.45, 0.5 },
                 twice[] = { 0.8, 0.8, 0.8, 0.2, 0.8, 0.8, 0.8, 0.2 },
                 wholly[] = { 1, 1, 1, 0.99, 0.99, 0.99, 0.99, 0.99 };
    assert_int_equal(count_alarms(200, falls, 8, &last), 1);
    assert_int_equal(last, 5);
    assert_int_equal(count_alarms(10, falls, 8, &last), 0); /* of ten cases two are chance */
    assert_int_equal(count_alarms(200, returns, 8, &last), 0);
    assert_int_equal(count_alarms(200, rises, 8, &last), 0);
    assert_int_equal(count_alarms(200, twice, 8, &last), 2);
    assert_int_equal(count_alarms(100000, wholly, 8, &last), 0); /* less than two points */
}

/* What chance alone does to a quality that stays: a hundred courses of 50 evaluations, each of other tiles.
 */
static void test_chance(void **state)
{
    (void)state;
    uint32_t draw = 1;
    int said = 0;
    for (int course = 0; course < 100; course++) {
        sb_falling f = { .cases = 100 };
        for (int i = 0; i < 50; i++) {
            int right = 0;
            for (int c = 0; c < 100; c++) {
                draw = draw * 1664525u + 1013904223u;
                right += (draw >> 8) % 100 < 60;
            }
            said += sb_falling_look(&f, i + 1, right / 100.0);
        }
    }
    assert_in_range(said, 0, 3);
}

/* ---- a run ------------------------------------------------------------------------------------------------ */

static void make_run(char *run, const char *name)
{
    assert_int_equal(sb_rundir_path(run, folder, "%s", name), 0);
    assert_int_equal(sb_rundir_create(run), 0);
}

/* An evaluation of tiles in `groups` groups, in the log, too; other: the measures beside the group's. */
static sb_evaluation evaluate(const char *run, int step, int groups, double group, double other)
{
    sb_evaluation e = { .run_dir = run,
                        .gallery = { .tiles = TILES, .tile = tiles },
                        .index = { .images = images, .count = TILES },
                        .report = {
                            .step = step, .source = "snapshot", .tiles = TILES, .views = 2, .size = 16 } };
    for (int t = 0; t < TILES; t++) {
        tiles[t] = (sb_tile){ .image = (uint32_t)t };
        images[t] = (sb_image){ .group = (uint32_t)(t % groups), .label = UINT32_MAX };
    }
    for (int row = 0; row < SB_ROWS; row++)
        for (sb_metric_id k = 0; k < SB_METRICS; k++)
            e.report.row[row].value[k] = k == SB_METRIC_VIEW_RETRIEVAL || k == SB_METRIC_RANK ? other
                                         : k == SB_METRIC_GROUP_RETRIEVAL && groups < TILES   ? 0.1
                                                                                              : SB_LACKS;
    if (groups < TILES)
        e.report.row[SB_ROW_TRAINED].value[SB_METRIC_GROUP_RETRIEVAL] = group;
    assert_int_equal(sb_report_append(&e.report, run), 0);
    return e;
}

static bool raises(const sb_evaluation *e)
{
    sb_alarm alarm;
    const int rc = sb_falling_check(e, &alarm);
    assert_in_range(rc, 0, 1);
    if (rc == 1) {
        assert_string_equal(alarm.name, "falling");
        assert_true(alarm.step == e->report.step);
        assert_non_null(strstr(alarm.what, "group is 53.3 % in the mean of 3 evaluations, below 64.0 %"));
        assert_non_null(
            strstr(alarm.what, "the best such mean was 80.0 % at step 300, over 100 independent cases"));
        assert_string_equal(alarm.values[0].name, "group_retrieval");
    }
    return rc == 1;
}

static void test_run(void **state)
{
    (void)state;
    char run[PATH_MAX];
    make_run(run, "falls");
    sb_evaluation e;
    const double course[] = { 0.8, 0.8, 0.8, 0.4, 0.4, 0.4 };
    for (int i = 0; i < 6; i++) {
        e = evaluate(run, 100 * (i + 1), 100, course[i], 0.5);
        assert_int_equal(raises(&e), i == 4);
    }
    e = evaluate(run, 600, 100, 0.4, 0.5); /* the same step again */
    assert_false(raises(&e));
    make_run(run, "given"); /* below the weights as given from the first one on */
    for (int i = 0; i < 3; i++) {
        e = evaluate(run, 100 * (i + 1), 100, 0.4, 0.5);
        e.report.given = true;
        e.report.row[SB_ROW_GIVEN].value[SB_METRIC_GROUP_RETRIEVAL] = 0.8;
        sb_alarm alarm;
        assert_int_equal(sb_falling_check(&e, &alarm), 0);
        e.config.continuing.enabled = true;
        assert_int_equal(sb_falling_check(&e, &alarm), i == 2);
    }
}

/* Without labels and groups all measures may fall. */
static void test_without_labels(void **state)
{
    (void)state;
    char run[PATH_MAX];
    make_run(run, "unlabelled");
    for (int i = 0; i < 6; i++) {
        const sb_evaluation e = evaluate(run, 100 * (i + 1), TILES, 0, i < 3 ? 0.9 : 0.1);
        assert_false(raises(&e));
    }
}

/* ---- the best checkpoint ---------------------------------------------------------------------------------- */

/* One with nothing in it, of two steps at most. */
static void save(const char *run, sb_store *store, int64_t step)
{
    const sb_checkpoint_view view = { .store = store, .step = step, .config_text = "seed: 1\n" };
    if (sb_checkpoint_save(run, &view, 2) != 0)
        fail_msg("%s", sb_error());
}

static int64_t best_step(const char *run)
{
    char path[PATH_MAX];
    int64_t step = -1;
    const int found = sb_checkpoint_best(run, path, &step, NULL);
    assert_in_range(found, 0, 1);
    return step;
}

/* As an evaluator that accompanies a run: the checkpoint is removed by others while it measures. */
static void measure(const char *run, sb_store *store, int step, double group)
{
    char held[PATH_MAX];
    sb_evaluation e = { .run_dir = run, .report = { .step = step } };
    assert_true(sb_best_hold(&e) >= 0);
    for (int i = 1; i < 4; i++)
        save(run, store, step + i);
    e = evaluate(run, step, 100, group, 1 - group);
    assert_int_equal(sb_best_settle(&e), 0);
    assert_int_equal(sb_rundir_path(held, run, "checkpoints/held-%d.safetensors", (int)getpid()), 0);
    assert_int_not_equal(access(held, F_OK), 0);
}

/* A run, and an empty store on a device of its own. */
static void open_run(char *run, const char *name, sb_store *store)
{
    sb_device *device = NULL;
    assert_int_equal(sb_device_cpu(&device, 1), 0);
    sb_store_init(store, device);
    make_run(run, name);
}

static void close_store(sb_store *store)
{
    sb_device *device = store->device;
    sb_store_free(store);
    sb_device_close(&device);
}

static void test_best(void **state)
{
    (void)state;
    char run[PATH_MAX];
    sb_store store;
    open_run(run, "best", &store);
    save(run, &store, 100);
    measure(run, &store, 100, 0.5);
    assert_int_equal(best_step(run), 100);
    save(run, &store, 200);
    measure(run, &store, 200, 0.5); /* of equals the first */
    assert_int_equal(best_step(run), 100);
    save(run, &store, 300);
    measure(run, &store, 300, 0.6);
    assert_int_equal(best_step(run), 300);
    measure(run, &store, 350, 0.9); /* has no checkpoint */
    assert_int_equal(best_step(run), 300);
    save(run, &store, 400);
    measure(run, &store, 400, 0.3);
    assert_int_equal(best_step(run), 300);
    sb_evaluation e = evaluate(run, 500, 100, 0.3, 0.8); /* by another measure */
    e.config.evaluate.best = SB_BEST_VIEW;
    save(run, &store, 500);
    assert_int_equal(sb_best_hold(&e), 1);
    assert_int_equal(sb_best_settle(&e), 0);
    assert_int_equal(best_step(run), 500);
    assert_int_equal(sb_best_hold(&e), 1); /* the same file again: nothing but its names is left */
    assert_int_equal(sb_best_settle(&e), 0);
    assert_int_equal(best_step(run), 500);
    close_store(&store);
}

static void test_go_back(void **state)
{
    (void)state;
    char run[PATH_MAX], path[PATH_MAX];
    int64_t step;
    sb_store store;
    open_run(run, "back", &store);
    save(run, &store, 100);
    measure(run, &store, 100, 0.5);
    save(run, &store, 200);
    save(run, &store, 300);
    assert_int_equal(sb_checkpoint_go_back(run, 100), 2);
    assert_int_equal(sb_checkpoint_latest(run, path, &step), 1);
    assert_int_equal(step, 100);
    assert_int_equal(best_step(run), 100);
    assert_int_equal(sb_rundir_path(path, run, "checkpoints/left/step-000000300.safetensors"), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(sb_checkpoint_go_back(run, 100), 0);
    close_store(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),           cmocka_unit_test(test_chance), cmocka_unit_test(test_run),
        cmocka_unit_test(test_without_labels), cmocka_unit_test(test_best),   cmocka_unit_test(test_go_back),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
