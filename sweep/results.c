/* results.c: see results.h. */
#include "sweep/results.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"
#include "proto/jsonl.h"

#define TRAINED "trained"

typedef struct {
    int64_t steps;
    sb_result result;
    bool found;
} search;

static void put_row(sb_result *r, const char *name, const json_t *row)
{
    if (r->rows == SB_RESULT_ROWS || strlen(name) >= SB_RESULT_NAME_MAX)
        return;
    snprintf(r->name[r->rows], sizeof r->name[r->rows], "%s", name);
    for (int k = 0; k < SB_METRICS; k++)
        r->value[r->rows][k] = sb_jsonl_number(row, sb_metrics[k]->key);
    r->rows++;
}

static void look(void *context, const json_t *object)
{
    search *s = context;
    const char *source = json_string_value(json_object_get(object, "source")), *name;
    json_t *rows = json_object_get(object, "rows"), *row, *trained = json_object_get(rows, TRAINED);
    if (!source || strcmp(source, "checkpoint") != 0 || !json_is_object(trained) ||
        json_integer_value(json_object_get(object, "step")) != s->steps)
        return;
    s->found = true;
    s->result = (sb_result){ .tiles = (int)json_integer_value(json_object_get(object, "tiles")) };
    put_row(&s->result, TRAINED, trained);
    json_object_foreach(rows, name, row)
    {
        if (strcmp(name, TRAINED) != 0)
            put_row(&s->result, name, row);
    }
}

int sb_result_read(const char *run_dir, int64_t steps, sb_result *out)
{
    search s = { .steps = steps };
    if (sb_jsonl_read(run_dir, "evaluation.jsonl", look, &s) != 0)
        return -1;
    if (out)
        *out = s.result;
    return s.found;
}
