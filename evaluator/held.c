/* held.c: see held.h. */
#include "evaluator/held.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/jsonl.h"
#include "proto/rundir.h"

/* The best of the evaluations of this gallery. */
typedef struct {
    const sb_report *report;
    const char *key; /* of the measure */
    double value;
    int64_t step; /* -1: the weights as given */
} best;

static bool is_number(const json_t *line, const char *key, int wanted)
{
    const json_t *value = json_object_get(line, key);
    return json_is_integer(value) && json_integer_value(value) == wanted;
}

/* Of equals the first. */
static void look(void *context, const json_t *line)
{
    best *b = context;
    const json_t *step = json_object_get(line, "step"),
                 *row = json_object_get(json_object_get(line, "rows"), sb_report_row(SB_ROW_TRAINED)),
                 *value = json_object_get(row, b->key);
    if (!is_number(line, "tiles", b->report->tiles) || !is_number(line, "views", b->report->views) ||
        !is_number(line, "size", b->report->size) || !json_is_integer(step) || !json_is_number(value) ||
        json_number_value(value) <= b->value + 1e-8) /* the log has nine digits */
        return;
    b->value = json_number_value(value);
    b->step = json_integer_value(step);
}

int sb_held_say(const sb_report *r, const char *run_dir, double stop, char *out, size_t bytes)
{
    const sb_metric_id k = sb_report_telling(r);
    const double given = r->row[SB_ROW_GIVEN].value[k], now = r->row[SB_ROW_TRAINED].value[k];
    best b = { .report = r, .key = sb_metrics[k]->key, .value = given, .step = -1 };
    char path[PATH_MAX] = "", where[PATH_MAX + 128];
    if (sb_jsonl_read(run_dir, "evaluation.jsonl", look, &b) != 0 ||
        (b.step >= 0 &&
         sb_rundir_path(path, run_dir, "checkpoints/step-%09" PRId64 ".safetensors", b.step) != 0))
        return -1;
    if (b.step < 0)
        snprintf(where, sizeof where, "the weights as given");
    else if (access(path, F_OK) == 0)
        snprintf(where, sizeof where, "step %" PRId64 " with %.1f %%, %s", b.step, 100 * b.value, path);
    else
        snprintf(where, sizeof where,
                 "step %" PRId64 " with %.1f %%, without a checkpoint (trainer.checkpoint_every, "
                 "trainer.checkpoint_keep)",
                 b.step, 100 * b.value);
    snprintf(out, bytes, "  continue: %s of %d tiles %.1f %%, %+.1f points against the weights as given%s%s",
             sb_metrics[k]->title, r->tiles, 100 * now, 100 * (now - given),
             given - now > stop ? ": stop it (./run stop). Best was " : ". Best is ", where);
    return 0;
}
