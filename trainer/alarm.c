/* alarm.c: see alarm.h. */
#include "trainer/alarm.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/rundir.h"

#define ALARMS "alarms.jsonl"

int sb_alarm_raise(const char *run_dir, const sb_alarm *a)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, run_dir, ALARMS) != 0)
        return -1;
    sb_note("alarm: %s at step %" PRId64 ": %s. %s (docs/alarms.md)", a->name, a->step, a->what, a->advice);
    json_t *values = json_object();
    for (int i = 0; values && i < SB_ALARM_VALUES && a->values[i].name; i++)
        json_object_set_new(values, a->values[i].name, json_real(a->values[i].value));
    json_t *root = json_pack("{s:I, s:s, s:o, s:s, s:s}", "step", (json_int_t)a->step, "alarm", a->name,
                             "values", values, "what", a->what, "do", a->advice);
    char *line = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    const int rc = line ? sb_file_append_line(path, line)
                        : sb_fail("%s: no memory for a line of %s", path, a->name);
    free(line);
    json_decref(root);
    return rc;
}

static void look(void *context, const json_t *object)
{
    sb_alarm_past *last = context;
    const char *name = json_string_value(json_object_get(object, "alarm")),
               *what = json_string_value(json_object_get(object, "what"));
    const json_t *step = json_object_get(object, "step");
    if (!name || !what || !json_is_integer(step))
        return;
    snprintf(last->name, sizeof last->name, "%s", name);
    snprintf(last->what, sizeof last->what, "%s", what);
    sb_text_clean(last->name);
    sb_text_clean(last->what);
    last->step = json_integer_value(step);
}

int sb_alarm_last(const char *run_dir, sb_alarm_past *out)
{
    *out = (sb_alarm_past){ 0 };
    return sb_jsonl_read(run_dir, ALARMS, look, out);
}
