/* resume.c: see resume.h. */
#include "trainer/resume.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/index/index.h"
#include "proto/error.h"
#include "proto/request.h"
#include "proto/rundir.h"
#include "trainer/checkpoint.h"
#include "trainer/finish.h"
#include "trainer/planner.h"
#include "trainer/status.h"
#include "trainer/train.h"

#define CONFIG_MAX ((size_t)1 << 20)
#define NAMED_MAX 8 /* keys that an error names */

sb_resume_verdict sb_resume_judge(const sb_config_change *change, bool begun, bool indexed)
{
    static const char *const indexing[] = { "data.tile", "data.untrusted" };
    const char *name = change->name;
    if (strcmp(name, "run.dir") == 0)
        return SB_RESUME_PLACE;
    if (strcmp(name, "init") == 0 && begun)
        return SB_RESUME_GIVEN;
    if (change->key->apart)
        return SB_RESUME_APPLIED;
    if (begun)
        return strcmp(name, "trainer.steps") == 0 ? SB_RESUME_STRETCHED : SB_RESUME_RESULT;
    bool shapes = strncmp(name, "guide.", strlen("guide.")) == 0;
    for (size_t i = 0; i < sizeof indexing / sizeof *indexing; i++)
        shapes = shapes || strcmp(name, indexing[i]) == 0;
    return shapes && indexed ? SB_RESUME_INDEXED : SB_RESUME_APPLIED;
}

/* ---- what the run is, and what it is to be --------------------------------------------------------------- */

typedef struct {
    const char *run_dir;
    int64_t step;
    sb_config reached; /* of the step that was finished last, if begun */
    sb_config old;     /* config.yaml */
    sb_config new;     /* with the keys that were given */
    sb_settings settings;
    char refused[SB_ERROR_MAX];
    int refusals;
    bool begun, indexed;
    bool known;     /* what `reached` is */
    bool other_run; /* may have what was refused */
} resume;

/* What a checkpoint does not have, because its result does not depend on it, but reading asks for. */
static int read_reached(sb_config *out, sb_settings *unused, const char *text)
{
    static const char *const elsewhere[] = { "data.path=none", "init=none" };
    if (sb_config_read_text(out, text, "the checkpoint's configuration") != 0)
        return -1;
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (sb_config_suggest(out, "default", elsewhere[i]) != 0)
            return -1;
    return sb_settings_read(unused, out);
}

/* ---- what changes ---------------------------------------------------------------------------------------- */

static const char *or_nothing(const char *value) { return value ? value : "nothing"; }

static void refuse(resume *r, const sb_config_change *c, sb_resume_verdict verdict)
{
    char why[256], when[64] = "given.safetensors";
    if (r->step > 0)
        snprintf(when, sizeof when, "the checkpoint of step %" PRId64, r->step);
    switch (verdict) {
    case SB_RESUME_PLACE: snprintf(why, sizeof why, "a run is moved by moving its directory"); break;
    case SB_RESUME_GIVEN: snprintf(why, sizeof why, "the run took its weights when it began"); break;
    case SB_RESUME_INDEXED:
        snprintf(why, sizeof why, "index.bin was made with %.100s", or_nothing(c->before));
        break;
    default: snprintf(why, sizeof why, "in %s it is %.100s", when, or_nothing(c->before)); break;
    }
    r->other_run = r->other_run || verdict != SB_RESUME_PLACE;
    const size_t used = strlen(r->refused);
    if (r->refusals++ < NAMED_MAX)
        snprintf(r->refused + used, sizeof r->refused - used, "%s%s = %.100s (%.100s): %s", used ? "; " : "",
                 c->name, or_nothing(c->after), sb_config_place(&r->new, c->name), why);
}

static void say(const resume *r, const sb_config_change *c, sb_resume_verdict verdict)
{
    printf("%s = %s (was %s)", c->name, or_nothing(c->after), or_nothing(c->before));
    if (verdict == SB_RESUME_STRETCHED)
        printf(": what follows from the length of the run (learning rate, momentum, sizes of views) is "
               "stretched from step %" PRId64 " on",
               r->step + 1);
    printf("\n");
}

static bool is_among(const sb_config_change *changes, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(changes[i].name, name) == 0)
            return true;
    return false;
}

static sb_resume_verdict judge(const resume *r, const sb_config_change *c)
{
    return sb_resume_judge(c, r->begun, r->indexed);
}

/* Whether it is there, or not, because of a choice that is another now, and is named. */
static bool follows(const sb_config_change *changes, int count, const sb_config_change *c)
{
    char choice[SB_KEY_NAME_MAX + 8];
    const char *dot = strchr(c->name, '.');
    snprintf(choice, sizeof choice, "%.*s.name", dot ? (int)(dot - c->name) : 0, c->name);
    return (!c->before || !c->after) && is_among(changes, count, choice);
}

/* Against the step that was finished last: what the result depends on. */
static int refuse_result(resume *r)
{
    sb_config_change *changes = NULL;
    const int count = r->known ? sb_config_changes(&r->reached, &r->new, sb_tables, &changes) : 0;
    for (int i = 0; i < count; i++)
        if (!changes[i].key->apart && judge(r, &changes[i]) >= SB_RESUME_RESULT &&
            !follows(changes, count, &changes[i]))
            refuse(r, &changes[i], judge(r, &changes[i]));
    sb_config_changes_free(changes, count < 0 ? 0 : count);
    return count < 0 ? -1 : 0;
}

/* Against config.yaml: what else cannot change. */
static void refuse_given(resume *r, const sb_config_change *changes, int count)
{
    for (int i = 0; i < count; i++) {
        const sb_resume_verdict verdict = judge(r, &changes[i]);
        if (verdict > SB_RESUME_RESULT || (verdict == SB_RESUME_RESULT && !r->known))
            refuse(r, &changes[i], verdict);
    }
}

static int fail_refused(const resume *r)
{
    char from[64] = "given";
    if (r->step > 0)
        snprintf(from, sizeof from, "checkpoints/step-%09" PRId64, r->step);
    char more[64] = "";
    if (r->refusals > NAMED_MAX)
        snprintf(more, sizeof more, "; and %d more", r->refusals - NAMED_MAX);
    if (!r->other_run)
        return sb_fail("%s%s", r->refused, more);
    char weights[PATH_MAX + 128] = "";
    if (r->begun)
        snprintf(weights, sizeof weights, "init=%s/%s.safetensors ", r->run_dir, from);
    return sb_fail(
        "%s%s. A new run may have other values: ./run train %s/config.yaml run.dir=NEW %sKEY=VALUE",
        r->refused, more, r->run_dir, weights);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* As long as something is auto it is chosen here, as at the start of a run. */
static int read_keys(resume *r, char *const *assignments, int count)
{
    const sb_trainer_keys *t = &r->settings.trainer;
    if (sb_config_read_run(&r->new, r->run_dir) != 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (sb_config_set(&r->new, assignments[i]) != 0)
            return -1;
    if (sb_settings_read(&r->settings, &r->new) != 0) /* a key that cannot change is named as such */
        return refuse_result(r) == 0 && r->refusals > 0 ? fail_refused(r) : -1;
    const bool settled = (t->chunk > 0 || t->replicas > 1) && t->recompute != SB_RECOMPUTE_AUTO &&
                         t->precision != SB_PRECISION_AUTO;
    return count == 0 || settled ? 0 : sb_planner_settle(&r->settings, &r->new);
}

static int open_run(resume *r, const char *run_dir, bool best, char *const *assignments, int count)
{
    char path[PATH_MAX], *text = NULL;
    *r = (resume){ .run_dir = run_dir };
    sb_config_init(&r->reached);
    sb_config_init(&r->old);
    sb_config_init(&r->new);
    const int begun = best ? sb_checkpoint_best(run_dir, path, &r->step, &text)
                           : sb_checkpoint_begun(run_dir, &r->step, &text);
    r->begun = begun > 0;
    r->known = text && text[0] != '\0';
    int rc = begun < 0            ? -1
             : best && begun == 0 ? sb_checkpoint_fail_best(run_dir)
                                  : sb_rundir_path(path, run_dir, "index.bin");
    if (rc == 0)
        r->indexed = access(path, F_OK) == 0;
    if (rc == 0 && r->known)
        rc = read_reached(&r->reached, &r->settings, text);
    if (rc == 0)
        rc = sb_config_read_run(&r->old, run_dir);
    if (rc == 0)
        sb_settings_say_renamed(&r->old);
    if (rc == 0)
        rc = sb_settings_read(&r->settings, &r->old);
    if (rc == 0)
        rc = read_keys(r, assignments, count);
    free(text);
    return rc;
}

static void close_run(resume *r)
{
    sb_config_free(&r->reached);
    sb_config_free(&r->old);
    sb_config_free(&r->new);
}

static int check_steps(const resume *r)
{
    const int64_t steps = r->settings.trainer.steps;
    return r->step <= steps ? 0
                            : sb_fail("trainer.steps = %" PRId64 " (%s): %s has done %" PRId64
                                      ", and no fewer are possible",
                                      steps, sb_config_place(&r->new, "trainer.steps"), r->run_dir, r->step);
}

int sb_resume_check(const char *run_dir, int64_t *step)
{
    resume r;
    int rc = open_run(&r, run_dir, false, NULL, 0);
    if (rc == 0)
        rc = refuse_result(&r);
    if (rc == 0)
        rc = r.refusals > 0 ? fail_refused(&r) : check_steps(&r);
    *step = r.step;
    close_run(&r);
    return rc;
}

/* ---- the data -------------------------------------------------------------------------------------------- */

/* Whether the files are there, as they were indexed but for their times. */
static int check_files(const resume *r, const sb_index *x, bool moved)
{
    const char *path = r->settings.data.path;
    const sb_image *other = &x->images[0];
    char file[PATH_MAX];
    struct stat info;
    uint32_t files = 0, here = 0, same = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_image *m = &x->images[i];
        if (i > 0 && m->name == m[-1].name)
            continue;
        const bool there = stat(sb_index_path_of(x, m, file), &info) == 0 && access(file, R_OK) == 0;
        files++;
        here += there;
        if (there && info.st_size == m->bytes)
            same++;
        else if (same == files - 1)
            other = m;
    }
    sb_index_path_of(x, other, file);
    if (moved && x->root && stat(path, &info) == 0 && S_ISDIR(info.st_mode) == x->beside)
        return sb_fail("data.path = %s: a %s was expected, as when the run began", path,
                       x->beside ? "CSV manifest" : "folder");
    if (moved && !x->root)
        return sb_fail("data.path = %s: %s/index.bin has the whole path of each file, and they are read from "
                       "there, as %s",
                       path, r->run_dir, file);
    if (here == 0)
        return sb_fail("data.path = %s: of %" PRIu32 " file%s of %s/index.bin none is there, as %s. If the "
                       "data were moved: ./run resume %s data.path=NEW",
                       path, files, sb_plural(files), r->run_dir, file, r->run_dir);
    if (moved && same < files)
        return sb_fail("data.path = %s: %" PRIu32 " of the %" PRIu32
                       " file%s of %s/index.bin: not there, or of another size, as %s",
                       path, files - same, files, sb_plural(files), r->run_dir, file);
    if (files - here > r->settings.data.max_bad * files)
        return sb_fail(
            "data.path = %s: %" PRIu32 " of the %" PRIu32
            " file%s of %s/index.bin cannot be read, more than data.max_bad = %g allows to be bad, as "
            "%s: is the disk there that they are on?",
            path, files - here, files, sb_plural(files), r->run_dir, r->settings.data.max_bad, file);
    return 0;
}

static int check_data(const resume *r, bool moved)
{
    sb_index x;
    if (!r->indexed)
        return r->begun ? sb_fail("%s/index.bin is gone, and %s was trained on what it names: put it back",
                                  r->run_dir, r->run_dir)
                        : 0;
    if (sb_index_read(&x, r->run_dir, &r->settings.data) != 0)
        return -1;
    const int rc = check_files(r, &x, moved);
    sb_index_free(&x);
    return rc;
}

/* ---- resume ---------------------------------------------------------------------------------------------- */

/* Where it says the same already it is left alone. What was edited by hand (a path with "~/") is written as
 * all programs of a run understand it. */
static int write_config(const resume *r)
{
    char path[PATH_MAX], *text = sb_config_text(&r->new, sb_tables, false), *there = NULL;
    size_t bytes;
    int rc = text && sb_rundir_path(path, r->run_dir, "config.yaml") == 0 &&
                     sb_file_read(path, CONFIG_MAX, &there, &bytes) == 0
                 ? 0
                 : -1;
    if (rc == 0 && strcmp(text, there) != 0)
        rc = sb_file_replace(path, text, strlen(text));
    free(text);
    free(there);
    return rc;
}

/* Differences from the step that was finished last that nobody gave: config.yaml was edited. */
static int say_edited(const resume *r, const sb_config_change *given, int given_count)
{
    sb_config_change *changes = NULL;
    const int count = r->known ? sb_config_changes(&r->reached, &r->new, sb_tables, &changes) : 0;
    for (int i = 0; i < count; i++)
        if (!changes[i].key->apart && !is_among(given, given_count, changes[i].name))
            say(r, &changes[i], judge(r, &changes[i]));
    sb_config_changes_free(changes, count < 0 ? 0 : count);
    return count < 0 ? -1 : 0;
}

/* All that may fail comes before the one write. */
static int apply(resume *r, const sb_config_change *changes, int count)
{
    bool result = false;
    const bool moved = is_among(changes, count, "data.path");
    refuse_given(r, changes, count);
    if (refuse_result(r) != 0 || (r->refusals > 0 && fail_refused(r) != 0) || check_steps(r) != 0 ||
        ((moved || r->step < r->settings.trainer.steps) && check_data(r, moved) != 0))
        return -1;
    for (int i = 0; i < count; i++)
        result = result || !changes[i].key->apart;
    if (!r->begun && result && sb_train_check(&r->settings) != 0)
        return -1;
    if (write_config(r) != 0)
        return -1;
    for (int i = 0; i < count; i++)
        say(r, &changes[i], judge(r, &changes[i]));
    return say_edited(r, changes, count);
}

/* Why it had ended, where that was an alarm. */
static void say_alarm(const char *run_dir)
{
    sb_status s;
    if (sb_status_read(run_dir, &s) == 0 && strcmp(s.phase, "stopped") == 0 && s.reason[0])
        printf("%s was stopped by an alarm, %s. It goes on; it is raised again where this ends and comes "
               "back\n",
               run_dir, s.reason);
}

static int go_back(const resume *r)
{
    const int left = sb_checkpoint_go_back(r->run_dir, r->step);
    if (left < 0)
        return -1;
    if (left == 0 && r->step == r->settings.trainer.steps) { /* the best is the last: nothing is left */
        printf("the best checkpoint is the last\n");
        return 0;
    }
    printf("it goes on from the best checkpoint, step %" PRId64, r->step);
    if (left > 0)
        printf("; %d later one%s in %s/checkpoints/left", left, left == 1 ? " is" : "s are", r->run_dir);
    printf("\n");
    return 0;
}

static int finish(const resume *r)
{
    const int64_t steps = r->settings.trainer.steps;
    if (r->step < steps)
        return 0;
    if (sb_finish(r->run_dir, steps) != 0)
        return -1;
    printf("%s is finished: step %" PRId64 " of %" PRId64 ", %s/backbone.safetensors. To go on: ./run resume "
           "%s trainer.steps=N\n",
           r->run_dir, r->step, steps, r->run_dir, r->run_dir);
    return SB_RESUME_FINISHED;
}

int sb_resume(const char *run_dir, bool best, char *const *assignments, int count)
{
    resume r = { 0 };
    sb_config_change *changes = NULL;
    int changed = 0;
    if (sb_request_heard(run_dir))
        return sb_fail("%s is running already: ./run status %s, ./run stop %s", run_dir, run_dir, run_dir);
    /* Nobody trains meanwhile, or applies other keys. */
    const int lock = sb_rundir_lock(run_dir, "trainer.lock");
    if (lock < 0)
        return -1;
    int rc = open_run(&r, run_dir, best, assignments, count);
    if (rc == 0)
        rc = changed = sb_config_changes(&r.old, &r.new, sb_tables, &changes);
    if (rc >= 0)
        rc = apply(&r, changes, changed);
    if (rc == 0 && best)
        rc = go_back(&r);
    if (rc == 0)
        rc = finish(&r);
    if (rc == 0)
        say_alarm(run_dir);
    sb_config_changes_free(changes, changed < 0 ? 0 : changed);
    close_run(&r);
    close(lock);
    return rc;
}
