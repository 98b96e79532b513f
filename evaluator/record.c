/* record.c: see record.h. */
#include "evaluator/record.h"

#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evaluator/findings.h"
#include "evaluator/sheet.h"
#include "evaluator/verdict.h"
#include "proto/config.h"
#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/memory.h"
#include "proto/request.h"
#include "proto/rundir.h"
#include "trainer/status.h"

#define PICTURE_WIDTH 1000 /* pixels */

/* What sb_error says. */
static void note(json_t *record)
{
    json_array_append_new(json_object_get(record, "notes"), sb_jsonl_text(sb_error()));
}

/* ---- steps ------------------------------------------------------------------------------------------------ */

enum { STEP, LOSS, RATE, WAITED, LR, NORM, DEVIATION, RANK, SERIES };
static const struct {
    const char *log, *name; /* in metrics.jsonl; in the record */
} series[SERIES] = { [STEP] = { "step", "step" },
                     [LOSS] = { "loss", "loss" },
                     [RATE] = { "images_per_second", "rate" },
                     [WAITED] = { "waited", "waited" },
                     [LR] = { "lr", "lr" },
                     [NORM] = { "gradient_norm", "norm" },
                     [DEVIATION] = { "deviation", "deviation" },
                     [RANK] = { "rank", "rank" } };

/* Of every step; NAN: it has none. */
typedef struct {
    double *value[SERIES];
    size_t count, room;
    bool failed;
} steps;

static void take_step(void *context, const json_t *o)
{
    steps *s = context;
    if (s->failed || !json_is_integer(json_object_get(o, "step")) ||
        !json_is_number(json_object_get(o, "loss")))
        return;
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 1024;
        for (int k = 0; k < SERIES; k++) {
            double *more = sb_grown(s->value[k], s->room, sizeof *more, "the steps of a run");
            s->failed = s->failed || !more;
            s->value[k] = more ? more : s->value[k];
        }
    }
    for (int k = 0; !s->failed && k < SERIES; k++)
        s->value[k][s->count] = sb_jsonl_number(o, series[k].log);
    s->count += !s->failed;
}

/* Mean of those that are numbers; the last of steps. */
static json_t *summary_of(const steps *s, int k, size_t from, size_t to)
{
    double sum = 0;
    int count = 0;
    if (k == STEP)
        return json_integer((json_int_t)s->value[STEP][to - 1]);
    for (size_t i = from; i < to; i++) {
        if (isnan(s->value[k][i]))
            continue;
        sum += s->value[k][i];
        count++;
    }
    return count ? json_real(sum / count) : json_null();
}

static json_t *thinned(const steps *s)
{
    json_t *out = json_object();
    const size_t points = s->count < SB_RECORD_POINTS ? s->count : SB_RECORD_POINTS;
    for (int k = 0; k < SERIES; k++) {
        json_t *values = json_array();
        for (size_t p = 0; p < points; p++)
            json_array_append_new(values,
                                  summary_of(s, k, p * s->count / points, (p + 1) * s->count / points));
        json_object_set_new(out, series[k].name, values);
    }
    return out;
}

/* ---- evaluations, quarantine ------------------------------------------------------------------------------ */

static void take_evaluation(void *context, const json_t *o)
{
    if (json_is_integer(json_object_get(o, "step")) && json_is_object(json_object_get(o, "rows")))
        json_array_append(context, (json_t *)(uintptr_t)o);
}

/* Of a log's objects `most` at most, spread evenly, the last one always. Takes all. */
static json_t *spread(json_t *all, size_t most)
{
    const size_t count = json_array_size(all), kept = count < most ? count : most;
    json_t *out = json_array();
    for (size_t i = 0; i < kept; i++)
        json_array_append(out, json_array_get(all, (i + 1) * count / kept - 1));
    json_decref(all);
    return out;
}

typedef struct {
    json_t *lines;
    json_int_t count;
} quarantine;

static void take_quarantined(void *context, const json_t *o)
{
    quarantine *q = context;
    const char *path = json_string_value(json_object_get(o, "path")),
               *reason = json_string_value(json_object_get(o, "reason"));
    q->count += path && reason;
    if (path && reason && q->count <= SB_RECORD_QUARANTINED)
        json_array_append_new(
            q->lines, json_pack("{s:o, s:o}", "path", sb_jsonl_text(path), "reason", sb_jsonl_text(reason)));
}

/* The names are the log's; a line without its texts is left out. */
static void take_alarm(void *context, const json_t *o)
{
    static const char *const texts[] = { "alarm", "what", "do" };
    json_t *alarms = context, *alarm = json_pack("{s:O}", "step", json_object_get(o, "step"));
    bool whole = alarm && json_is_integer(json_object_get(o, "step"));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = json_string_value(json_object_get(o, texts[i]));
        whole = whole && text && json_object_set_new(alarm, texts[i], sb_jsonl_text(text)) == 0;
    }
    if (whole)
        json_array_append(alarms, alarm);
    if (json_array_size(alarms) > SB_RECORD_ALARMS)
        json_array_remove(alarms, 0);
    json_decref(alarm);
}

/* ---- the rest --------------------------------------------------------------------------------------------- */

static json_t *status_json(const sb_status *s)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:f, s:f, s:s, s:i, s:f, s:f, s:f, s:s, s:I, s:I}", "phase",
                     s->phase, "reason", s->reason, "step", (json_int_t)s->step, "steps",
                     (json_int_t)s->steps, "eta_s", s->eta_s, "waited", s->waited, "bottleneck",
                     s->bottleneck, "loaders", s->loaders, "read", s->read, "decode", s->decode, "augment",
                     s->augment, "device", s->device, "quarantined", (json_int_t)s->quarantined, "away",
                     (json_int_t)s->away);
}

/* -1: it is no run. */
static int read_settings(const char *run_dir, json_t *record, int64_t *wanted)
{
    sb_config config;
    json_t *out = json_array();
    if (sb_config_read_run(&config, run_dir) != 0) {
        json_decref(out);
        return -1;
    }
    for (int i = 0; i < config.count; i++) {
        const sb_setting *s = &config.settings[i];
        if (!s->value)
            continue;
        json_array_append_new(out, json_pack("[o, o]", sb_jsonl_text(s->name), sb_jsonl_text(s->value)));
        if (strcmp(s->name, "trainer.steps") == 0)
            *wanted = strtoll(s->value, NULL, 10);
    }
    sb_config_free(&config);
    json_object_set_new(record, "settings", out);
    return 0;
}

static int there(const char *run_dir, const char *name, char path[PATH_MAX])
{
    return sb_rundir_path(path, run_dir, "%s", name) == 0 && access(path, F_OK) == 0;
}

static void read_findings(const char *run_dir, json_t *record)
{
    json_t *findings = NULL;
    const int there_is = sb_findings_read(run_dir, &findings);
    if (there_is > 0)
        json_object_set_new(record, "findings", findings);
    else if (there_is < 0)
        note(record);
}

static void read_saved(const char *run_dir, json_t *record)
{
    int64_t *saved = NULL;
    if (sb_rundir_checkpoints(run_dir, &saved) > 0)
        json_object_set_new(record, "saved", json_integer((json_int_t)saved[0]));
    free(saved);
}

static void read_picture(const char *run_dir, const char *name, const char *key, json_t *record)
{
    char path[PATH_MAX];
    if (!there(run_dir, name, path))
        return;
    char *picture = sb_sheet_base64_of(path, PICTURE_WIDTH);
    if (picture)
        json_object_set_new(record, key, json_string(picture));
    else
        note(record);
    free(picture);
}

/* Steps, evaluations and what they say. */
static void read_course(const char *run_dir, json_t *record, int64_t wanted)
{
    steps s = { .count = 0 };
    json_t *all = json_array();
    if (sb_jsonl_read(run_dir, "metrics.jsonl", take_step, &s) != 0 || s.failed)
        note(record);
    if (sb_jsonl_read(run_dir, "evaluation.jsonl", take_evaluation, all) != 0)
        note(record);
    all = spread(all, SB_RECORD_EVALUATIONS);
    sb_verdict_facts facts = { .steps = wanted, .loss = s.value[LOSS], .count = s.count };
    if (json_array_size(all) > 0)
        facts.evaluation = json_array_get(all, json_array_size(all) - 1);
    for (size_t i = s.count; i-- > 0 && facts.looks < SB_COLLAPSE_LOOKS;)
        if (!isnan(s.value[DEVIATION][i])) {
            memmove(facts.look + 1, facts.look, sizeof facts.look - sizeof *facts.look);
            facts.look[0] = s.value[DEVIATION][i];
            facts.looks++;
        }
    const sb_verdict verdict = sb_verdict_of(&facts);
    json_object_set_new(
        record, "verdict",
        json_pack("{s:s, s:o}", "word", verdict.word, "sentence", sb_jsonl_text(verdict.sentence)));
    json_object_set_new(record, "steps", thinned(&s));
    json_object_set_new(record, "count", json_integer((json_int_t)s.count));
    json_object_set_new(record, "evaluations", all);
    for (int k = 0; k < SERIES; k++)
        free(s.value[k]);
}

json_t *sb_record_read(const char *run_dir, bool pictures)
{
    char path[PATH_MAX], whole[PATH_MAX];
    if (sb_rundir_check(run_dir) != 0)
        return NULL;
    if (!realpath(run_dir, whole)) {
        sb_fail_errno("%s", run_dir);
        return NULL;
    }
    json_t *record = json_pack("{s:o, s:o, s:b, s:[]}", "name", sb_jsonl_text(basename(whole)), "path",
                               sb_jsonl_text(whole), "live", sb_request_heard(run_dir), "notes");
    sb_status status;
    int64_t wanted = 0;
    if (!record || read_settings(run_dir, record, &wanted) != 0) {
        json_decref(record);
        return NULL;
    }
    if (there(run_dir, "status.json", path)) {
        if (sb_status_read(run_dir, &status) == 0)
            json_object_set_new(record, "status", status_json(&status));
        else
            note(record);
    }
    read_saved(run_dir, record);
    read_course(run_dir, record, wanted);
    json_t *alarms = json_array();
    if (sb_jsonl_read(run_dir, "alarms.jsonl", take_alarm, alarms) != 0)
        note(record);
    json_object_set_new(record, "alarms", alarms);
    quarantine q = { .lines = json_array() };
    if (sb_jsonl_read(run_dir, "quarantine.jsonl", take_quarantined, &q) != 0)
        note(record);
    json_object_set_new(record, "quarantine", q.lines);
    json_object_set_new(record, "quarantined", json_integer(q.count));
    if (pictures) {
        read_findings(run_dir, record);
        read_picture(run_dir, "index.png", "index", record);
        read_picture(run_dir, "pictures/contact.png", "contact", record);
    }
    return record;
}
