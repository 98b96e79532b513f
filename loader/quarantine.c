/* quarantine.c: see quarantine.h. JSON is jansson's. */
#include "loader/quarantine.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/rundir.h"

#define BYTES_MAX (256u << 20)

int sb_quarantine_append(const char *run_dir, const char *path, int page, const sb_tile *tile, const char *reason)
{
    char file[PATH_MAX], clean_path[PATH_MAX], clean_reason[SB_ERROR_MAX];
    snprintf(clean_path, sizeof clean_path, "%s", path);
    snprintf(clean_reason, sizeof clean_reason, "%s", reason);
    sb_text_clean(clean_path);
    sb_text_clean(clean_reason);
    json_t *object = json_pack("{s:s, s:i, s:s}", "path", clean_path, "page", page, "reason", clean_reason);
    int rc = object ? 0 : -1;
    if (tile)
        rc |= json_object_set_new(object, "left", json_integer(tile->left)) | json_object_set_new(object, "top", json_integer(tile->top));
    char *line = rc == 0 ? json_dumps(object, JSON_COMPACT) : NULL;
    rc = !line ? sb_fail("out of memory")
               : sb_rundir_path(file, run_dir, "quarantine.jsonl") != 0 || sb_file_append_line(file, line) != 0 ? -1 : 0;
    free(line);
    json_decref(object);
    return rc;
}

int sb_quarantine_read(const char *run_dir, void (*on_image)(void *context, const char *path, int page), void *context)
{
    char file[PATH_MAX], *text, *save = NULL;
    size_t bytes;
    if (sb_rundir_path(file, run_dir, "quarantine.jsonl") != 0)
        return -1;
    if (access(file, F_OK) != 0)
        return 0;
    if (sb_file_read(file, BYTES_MAX, &text, &bytes) != 0)
        return -1;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_t *object = json_loads(line, 0, NULL);
        const char *path = json_string_value(json_object_get(object, "path"));
        json_int_t page = json_integer_value(json_object_get(object, "page"));
        if (path && !json_object_get(object, "left") && page >= 0 && page <= INT_MAX)
            on_image(context, path, (int)page);
        json_decref(object);
    }
    free(text);
    return 0;
}
