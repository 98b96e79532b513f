/* quarantine.c: see quarantine.h. JSON is jansson's. */
#include "loader/quarantine.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/rundir.h"

const char *sb_quarantine_reason(const char *name, const char *reason)
{
    name += strspn(name, "./"); /* beside a manifest, or a whole path */
    const size_t path = strcspn(reason, ":"), length = strlen(name);
    return reason[path] == ':' && path > length && reason[0] == '/' && reason[path - length - 1] == '/' &&
                   strncmp(reason + path - length, name, length) == 0 && reason[path + 1] == ' '
               ? reason + path + 2
               : reason;
}

int sb_quarantine_append(const char *run_dir, const char *name, int page, const sb_tile *tile,
                         const char *reason)
{
    char file[PATH_MAX], clean_name[PATH_MAX], clean_reason[SB_ERROR_MAX];
    snprintf(clean_name, sizeof clean_name, "%s", name);
    snprintf(clean_reason, sizeof clean_reason, "%s", sb_quarantine_reason(name, reason));
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
    void (*on_line)(void *context, const char *name, int page, const sb_tile *tile);
    bool (*drops)(void *context, const char *name, int page);
    void *context;
} reader;

/* What a line names; NULL: it is none of ours. */
static const char *read_line(const json_t *object, int *page)
{
    const char *path = json_string_value(json_object_get(object, "path"));
    const json_int_t number = json_integer_value(json_object_get(object, "page"));
    *page = (int)number;
    return number >= 0 && number <= INT_MAX ? path : NULL;
}

static void on_object(void *context, const json_t *object)
{
    const reader *r = context;
    int page;
    const char *path = read_line(object, &page);
    const json_t *left = json_object_get(object, "left"), *top = json_object_get(object, "top");
    const json_int_t x = json_integer_value(left), y = json_integer_value(top);
    const sb_tile tile = { .image = UINT32_MAX, .left = (int)x, .top = (int)y };
    if (path && (left || top) && x >= 0 && y >= 0 && x <= INT_MAX && y <= INT_MAX)
        r->on_line(r->context, path, page, &tile);
    else if (path && !left && !top)
        r->on_line(r->context, path, page, NULL);
}

int sb_quarantine_read(const char *run_dir,
                       void (*on_line)(void *context, const char *name, int page, const sb_tile *tile),
                       void *context)
{
    reader r = { .on_line = on_line, .context = context };
    return sb_jsonl_read(run_dir, "quarantine.jsonl", on_object, &r);
}

static bool keeps(const void *context, const json_t *object)
{
    const reader *r = context;
    int page;
    const char *path = read_line(object, &page);
    return !path || !r->drops(r->context, path, page);
}

int sb_quarantine_drop(const char *run_dir, bool (*drops)(void *context, const char *name, int page),
                       void *context)
{
    const reader r = { .drops = drops, .context = context };
    return sb_jsonl_keep(run_dir, "quarantine.jsonl", keeps, &r);
}
