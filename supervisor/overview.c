/* overview.c: see overview.h. */
#include "supervisor/overview.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/memory.h"
#include "supervisor/child.h"
#include "supervisor/log.h"
#include "supervisor/tail.h"

#define ANSWER_MS 1000               /* that a supervisor may take: who watches presses keys meanwhile */
#define BUDGET ((size_t)4 << 20)     /* bytes of a file in one look */
#define LOG_LEAST ((size_t)32 << 10) /* of a log, at the first look */

enum { METRICS, EVALUATIONS, ALARMS, LOGS, SOURCES = LOGS + SB_PROGRAMS };

struct sb_gatherer {
    sb_overview overview;
    sb_tail sources[SOURCES];
};

/* ---- metrics.jsonl ---------------------------------------------------------------------------------------- */

static void forget_metrics(void *context)
{
    sb_overview *o = context;
    sb_series_clear(&o->loss);
    sb_series_clear(&o->rate);
}

static void on_metrics(void *context, char *line, size_t bytes)
{
    sb_overview *o = context;
    json_t *object = json_loadb(line, bytes, 0, NULL);
    if (json_is_integer(json_object_get(object, "step"))) {
        const sb_step_metrics m = sb_metrics_of(object);
        sb_series_add(&o->loss, m.step, m.loss);
        sb_series_add(&o->rate, m.step, m.images_per_second);
    }
    json_decref(object);
}

/* ---- evaluation.jsonl ------------------------------------------------------------------------------------- */

static void forget_measure(sb_overview *o)
{
    o->measure.name[0] = '\0';
    sb_series_clear(&o->measure.trained);
}

static void forget_evaluations(void *context) { forget_measure(context); }

static double percent_of(const json_t *evaluation, const char *row, const char *measure)
{
    return 100 * sb_jsonl_number(json_object_get(json_object_get(evaluation, "rows"), row), measure);
}

/* Values of another measure, or of other tiles, are not comparable: the curve begins again. */
static void begin_measure(sb_overview *o, const json_t *evaluation, const char *name)
{
    const int64_t tiles = json_integer_value(json_object_get(evaluation, "tiles")),
                  views = json_integer_value(json_object_get(evaluation, "views")),
                  size = json_integer_value(json_object_get(evaluation, "size"));
    if (strcmp(o->measure.name, name) == 0 && o->measure.tiles == tiles && o->measure.views == views &&
        o->measure.size == size)
        return;
    forget_measure(o);
    snprintf(o->measure.name, sizeof o->measure.name, "%s", name);
    o->measure.tiles = tiles;
    o->measure.views = views;
    o->measure.size = size;
}

static void on_evaluation(void *context, char *line, size_t bytes)
{
    sb_overview *o = context;
    char name[sizeof o->measure.name];
    json_t *object = json_loadb(line, bytes, 0, NULL);
    const json_t *step = json_object_get(object, "step"), *telling = json_object_get(object, "telling");
    const char *key = json_string_value(json_object_get(telling, "key")),
               *title = json_string_value(json_object_get(telling, "title"));
    if (key && title && title[0] && json_is_integer(step)) {
        snprintf(name, sizeof name, "%s", title);
        sb_text_clean(name);
        begin_measure(o, object, name);
        sb_series_add(&o->measure.trained, json_integer_value(step), percent_of(object, "trained", key));
        o->measure.untrained = percent_of(object, "untrained", key);
        o->measure.given = percent_of(object, "given", key);
    }
    json_decref(object);
}

/* ---- alarms.jsonl ----------------------------------------------------------------------------------------- */

static void forget_alarms(void *context) { ((sb_overview *)context)->alarms = 0; }

static void on_alarm(void *context, char *line, size_t bytes)
{
    json_t *object = json_loadb(line, bytes, 0, NULL);
    ((sb_overview *)context)->alarms += json_is_object(object);
    json_decref(object);
}

/* ---- log/ ------------------------------------------------------------------------------------------------- */

static void forget_nothing(void *context) { (void)context; } /* it was said, whatever became of the log */

static void on_log(void *context, char *line, size_t bytes)
{
    sb_overview *o = context;
    (void)bytes;
    const char *note = sb_log_note(line);
    if (!note)
        return;
    char *message = o->message[o->messages++ % SB_OVERVIEW_MESSAGES];
    snprintf(message, SB_OVERVIEW_MESSAGE, "%s", note);
    sb_text_clean(message);
}

/* ---- all of them ------------------------------------------------------------------------------------------ */

int sb_gatherer_create(sb_gatherer **out, const char *run_dir)
{
    sb_gatherer *g = sb_zeroed(1, sizeof *g, "what is seen of a run");
    if (!g)
        return -1;
    g->overview.run_dir = run_dir;
    int rc = sb_tail_open(&g->sources[METRICS], run_dir, "metrics.jsonl", 0);
    if (rc == 0)
        rc = sb_tail_open(&g->sources[EVALUATIONS], run_dir, "evaluation.jsonl", 0);
    if (rc == 0)
        rc = sb_tail_open(&g->sources[ALARMS], run_dir, "alarms.jsonl", 0);
    for (int i = 0; rc == 0 && i < SB_PROGRAMS; i++) {
        char name[64];
        snprintf(name, sizeof name, "log/%s.log",
                 sb_program_names[SB_PROGRAMS - 1 - i]); /* the trainer's last */
        rc = sb_tail_open(&g->sources[LOGS + i], run_dir, name, LOG_LEAST);
    }
    if (rc != 0) {
        free(g);
        return -1;
    }
    forget_metrics(&g->overview);
    forget_evaluations(&g->overview);
    *out = g;
    return 0;
}

void sb_gatherer_destroy(sb_gatherer **gatherer)
{
    free(*gatherer);
    *gatherer = NULL;
}

const sb_overview *sb_gatherer_look(sb_gatherer *g, bool *more)
{
    static const sb_tail_taker takers[] = { [METRICS] = { forget_metrics, on_metrics, NULL },
                                            [EVALUATIONS] = { forget_evaluations, on_evaluation, NULL },
                                            [ALARMS] = { forget_alarms, on_alarm, NULL },
                                            [LOGS] = { forget_nothing, on_log, NULL } };
    sb_overview *o = &g->overview;
    *more = false;
    o->trouble[0] = '\0';
    sb_state_look(o->run_dir, ANSWER_MS, &o->state);
    for (int i = 0; i < SOURCES; i++) {
        sb_tail_taker taker = takers[i < LOGS ? i : LOGS];
        taker.context = o;
        const int rc = sb_tail_look(&g->sources[i], BUDGET, &taker);
        *more = *more || rc > 0;
        if (rc < 0) {
            snprintf(o->trouble, sizeof o->trouble, "%s", sb_error());
            sb_text_clean(o->trouble);
        }
    }
    return o;
}
