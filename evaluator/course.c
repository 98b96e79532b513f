/* course.c: see course.h. */
#include "evaluator/course.h"

#include <jansson.h>

#include "proto/jsonl.h"

typedef struct {
    const sb_report *report;
    const char *key; /* of the measure */
    sb_course_taker take;
    void *context;
    int64_t step; /* of the last one */
} reader;

static bool is_number(const json_t *line, const char *key, int wanted)
{
    const json_t *value = json_object_get(line, key);
    return json_is_integer(value) && json_integer_value(value) == wanted;
}

static void look(void *context, const json_t *line)
{
    reader *r = context;
    const json_t *step = json_object_get(line, "step"),
                 *row = json_object_get(json_object_get(line, "rows"), sb_report_row(SB_ROW_TRAINED)),
                 *value = json_object_get(row, r->key);
    if (!is_number(line, "tiles", r->report->tiles) || !is_number(line, "views", r->report->views) ||
        !is_number(line, "size", r->report->size) || !json_is_integer(step) || !json_is_number(value) ||
        json_integer_value(step) <= r->step)
        return;
    r->step = json_integer_value(step);
    r->take(r->context, r->step, json_number_value(value));
}

int sb_course_read(const char *run_dir, const sb_report *report, sb_metric_id measure, sb_course_taker take,
                   void *context)
{
    reader r = {
        .report = report, .key = sb_metrics[measure]->key, .take = take, .context = context, .step = -1
    };
    return sb_jsonl_read(run_dir, "evaluation.jsonl", look, &r);
}
