/* jsonl.c: see jsonl.h. */
#include "proto/jsonl.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/rundir.h"

#define BYTES_MAX (1u << 30)

/* A log in memory, and its line that was read last, with the '\n'. */
typedef struct {
    char path[PATH_MAX];
    char *text, *line;
    size_t bytes, line_bytes;
} jsonl;

static int open_log(jsonl *log, const char *run_dir, const char *name)
{
    *log = (jsonl){ 0 };
    if (sb_rundir_path(log->path, run_dir, "%s", name) != 0)
        return -1;
    if (access(log->path, F_OK) != 0)
        return 0;
    if (sb_file_read(log->path, BYTES_MAX, &log->text, &log->bytes) != 0)
        return -1;
    log->line = log->text;
    return 0;
}

/* The next object, which the caller releases; NULL at the end. */
static json_t *next_object(jsonl *log)
{
    while (log->text) {
        log->line += log->line_bytes;
        const char *end = memchr(log->line, '\n', (size_t)(log->text + log->bytes - log->line));
        if (!end)
            break;
        log->line_bytes = (size_t)(end + 1 - log->line);
        json_t *object = json_loadb(log->line, log->line_bytes - 1, 0, NULL);
        if (json_is_object(object))
            return object;
        json_decref(object);
    }
    return NULL;
}

int sb_jsonl_read(const char *run_dir, const char *name,
                  void (*on_object)(void *context, const json_t *object), void *context)
{
    jsonl log;
    if (open_log(&log, run_dir, name) != 0)
        return -1;
    for (json_t *object; (object = next_object(&log)); json_decref(object))
        on_object(context, object);
    free(log.text);
    return 0;
}

int sb_jsonl_keep(const char *run_dir, const char *name,
                  bool (*keep)(const void *context, const json_t *object), const void *context)
{
    jsonl log;
    size_t kept = 0;
    if (open_log(&log, run_dir, name) != 0)
        return -1;
    for (json_t *object; (object = next_object(&log)); json_decref(object)) {
        if (!keep(context, object))
            continue;
        memmove(log.text + kept, log.line, log.line_bytes);
        kept += log.line_bytes;
    }
    int rc = kept == log.bytes ? 0 : sb_file_replace(log.path, log.text, kept);
    free(log.text);
    return rc;
}

double sb_jsonl_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

json_t *sb_jsonl_text(const char *any)
{
    char clean[PATH_MAX];
    snprintf(clean, sizeof clean, "%s", any);
    sb_text_clean(clean);
    return json_string(clean);
}
