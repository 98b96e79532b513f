/* What is said of a run that goes on from given weights: the measure, the verdict, the best step and its
 * file. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evaluator/held.h"
#include "proto/error.h"
#include "proto/rundir.h"
#include "tests/folder.h"
#include "trainer/safetensors.h"

static int set_up(void **state)
{
    char path[PATH_MAX];
    return make_folder(state) == 0 && sb_rundir_path(path, folder, "run") == 0 ? sb_rundir_create(path) : -1;
}

/* A report of a data set with labels or without, in the log, too. */
static sb_report evaluate(const char *run, int64_t step, int tiles, bool labels, double given, double now)
{
    sb_report r = {
        .step = step, .source = "checkpoint", .tiles = tiles, .views = 2, .size = 16, .given = true
    };
    for (int row = 0; row < SB_ROWS; row++)
        for (sb_metric_id k = 0; k < SB_METRICS; k++)
            r.row[row].value[k] = 0.5;
    for (int row = 0; row < SB_ROWS; row++) {
        r.row[row].value[SB_METRIC_GROUP_RETRIEVAL] = SB_LACKS;
        if (!labels)
            r.row[row].value[SB_METRIC_KNN_TOP1] = r.row[row].value[SB_METRIC_KNN_TOP5] = SB_LACKS;
    }
    const sb_metric_id measure = labels ? SB_METRIC_KNN_TOP1 : SB_METRIC_VIEW_RETRIEVAL;
    r.row[SB_ROW_GIVEN].value[measure] = given;
    r.row[SB_ROW_TRAINED].value[measure] = now;
    assert_int_equal(sb_report_append(&r, run), 0);
    return r;
}

static void says(const char *run, const sb_report *r, const char *wanted)
{
    char line[2 * PATH_MAX];
    assert_int_equal(sb_held_say(r, run, 0.02, line, sizeof line), 0);
    if (!strstr(line, wanted))
        fail_msg("%s, wanted %s", line, wanted);
}

static const void *data_of(void *context, const sb_tensor *tensor, size_t at, size_t bytes)
{
    (void)context;
    (void)bytes;
    return (const char *)tensor->data + at;
}

/* As much of a checkpoint as says of which step it is. path: where. */
static void write_best(const char *run, int step, char *path)
{
    char text[16];
    const float weight = 1;
    const sb_tensor tensor = { .name = "w", .type = SB_TENSOR_F32, .data = &weight, .bytes = sizeof weight };
    snprintf(text, sizeof text, "%d", step);
    const char *const metadata[] = { "smallbatch.step", text, NULL };
    assert_int_equal(sb_rundir_path(path, run, "checkpoints/best.safetensors"), 0);
    assert_int_equal(sb_safetensors_write(path, &tensor, 1, metadata, data_of, NULL), 0);
}

static void test_course(void **state)
{
    (void)state;
    char run[PATH_MAX], file[PATH_MAX], path[PATH_MAX], text[2 * PATH_MAX];
    assert_int_equal(sb_rundir_path(run, folder, "run"), 0);
    assert_int_equal(sb_rundir_path(file, run, "checkpoints/step-000000200.safetensors"), 0);
    const double given = 2.0 / 3; /* the log has nine digits of it */
    sb_report r = evaluate(run, 100, 30, true, given, given);
    says(run, &r,
         "continue: kNN top-1 of 30 tiles 66.7 %, +0.0 points against the weights as given. Best is the "
         "weights as given");
    evaluate(run, 150, 31, true, given, 0.9); /* another gallery */
    r = evaluate(run, 200, 30, true, given, 0.6936);
    says(run, &r,
         "69.4 %, +2.7 points against the weights as given. Best is step 200 with 69.4 %, without a "
         "checkpoint");
    write_best(run, 150, path);
    says(run, &r, "Best is step 200 with 69.4 %, without a checkpoint");
    write_best(run, 200, path);
    snprintf(text, sizeof text, "Best is step 200 with 69.4 %%, %s", path);
    says(run, &r, text);
    assert_int_equal(sb_file_replace(file, "x", 1), 0);
    snprintf(text, sizeof text, "Best is step 200 with 69.4 %%, %s", file);
    says(run, &r, text);
    r = evaluate(run, 300, 30, true, given, given - 0.0199);
    says(run, &r, "64.7 %, -2.0 points against the weights as given. Best is step 200");
    r = evaluate(run, 400, 30, true, given, given - 0.0201);
    snprintf(text, sizeof text, ": stop it (./run stop). Best was step 200 with 69.4 %%, %s", file);
    says(run, &r, text);
    r = evaluate(run, 500, 30, false, 0.75, 0.25);
    says(run, &r,
         "continue: view of 30 tiles 25.0 %, -50.0 points against the weights as given: stop it (./run "
         "stop). Best was "
         "the weights as given");
    r.row[SB_ROW_CHANCE].value[SB_METRIC_GROUP_RETRIEVAL] = 1; /* there is one group: nothing can fall */
    r.row[SB_ROW_GIVEN].value[SB_METRIC_GROUP_RETRIEVAL] =
        r.row[SB_ROW_TRAINED].value[SB_METRIC_GROUP_RETRIEVAL] = 1;
    says(run, &r, "continue: view of 30 tiles 25.0 %");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_course) };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
