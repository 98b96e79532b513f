/* quarantine.c: see quarantine.h. JSON is jansson's. */
#include "loader/quarantine.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/rundir.h"

int sb_quarantine_append(const char *run_dir, const char *name, int page, const sb_tile *tile,
                         const char *reason)
{
    char file[PATH_MAX], clean_name[PATH_MAX], clean_reason[SB_ERROR_MAX];
    snprintf(clean_name, sizeof clean_name, "%s", name);
    snprintf(clean_reason, sizeof clean_reason, "%s", reason);
    sb_text_clean(clean_name);
    sb_text_clean(clean_reason);
    json_t *object = json_pack("{s:s, s:i, s:s}", "path", clean_name, "page", page, "reason", clean_reason);
    int rc = object ? 0 : -1;
    if (tile)
        rc |= json_object_set_new(object, "left", json_integer(tile->left)) |
              json_object_set_new(object, "top", json_integer(tile->top));
    char *line = rc == 0 ? json_dumps(object, JSON_COMPACT) : NULL;
    if (!line)
        rc = sb_fail("out of memory for a line of the quarantine");
    else if (sb_rundir_path(file, run_dir, "quarantine.jsonl") != 0 || sb_file_append_line(file, line) != 0)
        rc = -1;
    free(line);
    json_decref(object);
    return rc;
}

typedef struct {
    void (*on_image)(void *context, const char *name, int page);
    void *context;
} reader;

static void on_object(void *context, const json_t *object)
{
    const reader *r = context;
    const char *path = json_string_value(json_object_get(object, "path"));
    json_int_t page = json_integer_value(json_object_get(object, "page"));
    if (path && !json_object_get(object, "left") && page >= 0 && page <= INT_MAX)
        r->on_image(r->context, path, (int)page);
}

int sb_quarantine_read(const char *run_dir, void (*on_image)(void *context, const char *name, int page),
                       void *context)
{
    reader r = { on_image, context };
    return sb_jsonl_read(run_dir, "quarantine.jsonl", on_object, &r);
}
