/* prepare.c: see prepare.h. */
#include "trainer/prepare.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/index/index.h"
#include "proto/error.h"
#include "proto/outfile.h"
#include "proto/rundir.h"
#include "trainer/planner.h"
#include "trainer/resume.h"
#include "trainer/train.h"

/* Makes runs/DATE-TIME-RECIPE, with a number where that is taken. */
static int make_named(sb_run_keys *run, const char *recipe)
{
    char stamp[32], name[64];
    time_t now = time(NULL);
    struct tm local;
    if (!localtime_r(&now, &local) || strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &local) == 0)
        return sb_fail("the clock gives no date");
    const char *base = strrchr(recipe, '/');
    snprintf(name, sizeof name, "%s", base ? base + 1 : recipe);
    char *dot = strrchr(name, '.');
    if (dot)
        *dot = '\0';
    for (int attempt = 0; attempt < 100; attempt++) {
        snprintf(run->dir, sizeof run->dir, attempt ? "runs/%s-%s-%d" : "runs/%s-%s", stamp, name, attempt);
        const int made = sb_rundir_new(run->dir);
        if (made != 0)
            return made < 0 ? -1 : 0;
    }
    return sb_fail("%s and a hundred names like it are taken", run->dir);
}

/* The run directory with the whole configuration in it. */
static int make_run(const sb_config *config, const char *dir)
{
    char *text = sb_config_text(config, sb_tables, false);
    const int rc = text && sb_rundir_create(dir) == 0 ? sb_rundir_take(dir, text) : -1;
    free(text);
    return rc;
}

int sb_prepare(sb_settings *settings, sb_config *config, const char *recipe)
{
    if (sb_planner_settle(settings, config) != 0 || sb_train_check(settings) != 0 ||
        (settings->run.dir[0] == '\0' && make_named(&settings->run, recipe) != 0) ||
        sb_config_settle(config, "run.dir", settings->run.dir) != 0 ||
        sb_outfile_check_run_dir(settings->run.dir) != 0)
        return -1;
    return make_run(config, settings->run.dir);
}

/* ---- the labels of a run's data -------------------------------------------------------------------------- */

/* What a method brings, and what stands between the features and its loss. */
static const char *const of_method[] = { "method", "projector", "dense", "teacher", "guide", NULL };

/* The run's own configuration, as one that learns labels. */
static int learn_labels(sb_config *config, const char *dir)
{
    char place[PATH_MAX + sizeof "run.dir="];
    for (const char *const *section = of_method; *section; section++)
        sb_config_forget(config, *section);
    snprintf(place, sizeof place, "run.dir=%s", dir);
    return sb_config_set(config, "method.name=supervised") != 0 || sb_config_set(config, place) != 0 ||
                   sb_config_set(config, "evaluate.every=0") != 0
               ? -1
               : 0;
}

static int check_labels(const char *run_dir, const sb_data_keys *data)
{
    sb_index x;
    if (sb_index_read(&x, run_dir, data) != 0)
        return -1;
    const uint32_t labels = x.label_count;
    sb_index_free(&x);
    return labels > 1
               ? 0
               : sb_fail("%s: the data have %s: folders below data.path that are labels, or a manifest "
                         "with a column `label`, are expected",
                         run_dir, labels == 1 ? "one label, which tells nothing" : "no labels");
}

int sb_prepare_supervised(const char *run_dir)
{
    sb_config config;
    sb_settings settings;
    char dir[PATH_MAX], path[PATH_MAX], steps[64], data[PATH_MAX + sizeof "data.path="];
    int rc = sb_config_read_run(&config, run_dir) != 0 || sb_settings_read(&settings, &config) != 0 ||
                     check_labels(run_dir, &settings.data) != 0 ||
                     sb_rundir_path(dir, run_dir, "supervised") != 0 ||
                     sb_rundir_path(path, dir, "config.yaml") != 0
                 ? -1
                 : 0;
    if (rc == 0 && settings.method->told)
        rc = sb_fail("%s learns labels itself (method.name = %s)", run_dir, settings.method->name);
    else if (rc == 0 && access(path, F_OK) == 0) {
        char *const assignments[] = { steps, data };
        snprintf(steps, sizeof steps, "trainer.steps=%" PRId64, settings.trainer.steps);
        snprintf(data, sizeof data, "data.path=%s", settings.data.path); /* it may have moved */
        rc = sb_resume(dir, false, assignments, 2);
    } else if (rc == 0 && learn_labels(&config, dir) == 0 && sb_settings_read(&settings, &config) == 0) {
        rc = sb_prepare(&settings, &config, dir);
    } else {
        rc = -1;
    }
    sb_config_free(&config);
    return rc;
}
