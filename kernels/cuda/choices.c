/* choices.c: see choices.h. */
#include "kernels/cuda/choices.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/rundir.h"

#define FILE_MOST ((size_t)1 << 20) /* bytes; a choice takes some 120 */

/* Sets path, and makes the folders. By XDG's rules a relative path counts as none. */
static int find_place(sb_cuda_choices *c)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char inside_home[PATH_MAX], folder[PATH_MAX], name[sizeof c->machine];
    size_t used = 0;
    if (!cache || cache[0] != '/') {
        if (!home || home[0] != '/')
            return sb_fail("neither XDG_CACHE_HOME nor HOME is set");
        if (sb_rundir_path(inside_home, home, ".cache") != 0)
            return -1;
        cache = inside_home;
    }
    for (const char *m = c->machine; *m; m++)
        if (isalnum((unsigned char)*m) || *m == '.' || *m == '_')
            name[used++] = *m;
        else if (used > 0 && name[used - 1] != '-')
            name[used++] = '-';
    if (sb_rundir_path(folder, cache, "smallbatch") != 0 ||
        sb_rundir_path(c->path, folder, "%.*s.json", (int)used, name) != 0) {
        c->path[0] = '\0';
        return -1;
    }
    mkdir(cache, 0700); /* what does not succeed here shows when the file is written */
    mkdir(folder, 0700);
    return 0;
}

/* The plans in a text; NULL, and why, where it has none for this machine. */
static json_t *parse(const sb_cuda_choices *c, const char *text, size_t bytes)
{
    json_error_t error;
    json_t *root = json_loadb(text, bytes, 0, &error), *plans = json_object_get(root, "plans"), *plan;
    const char *machine = json_string_value(json_object_get(root, "machine")), *operation;
    int rc = 0;
    if (!root)
        rc = sb_fail("line %d: %s", error.line, error.text);
    else if (!machine || !json_is_object(plans))
        rc = sb_fail("it has no machine or no plans");
    else if (strcmp(machine, c->machine) != 0)
        rc = sb_fail("it is of another machine");
    else
        json_object_foreach(plans, operation, plan) if (!json_is_string(plan))
            rc = sb_fail("not all in it are plans");
    plans = rc == 0 ? json_incref(plans) : NULL;
    json_decref(root);
    return plans;
}

/* The plans in the file; NULL where there is none, or, with sb_error, none for this machine. */
static json_t *read_file(const sb_cuda_choices *c, bool *broken)
{
    char *text = NULL;
    size_t bytes = 0;
    *broken = false;
    if (access(c->path, F_OK) != 0)
        return NULL;
    json_t *plans = sb_file_read(c->path, FILE_MOST, &text, &bytes) == 0 ? parse(c, text, bytes) : NULL;
    free(text);
    *broken = !plans;
    return plans;
}

static int write_file(const sb_cuda_choices *c)
{
    json_t *root = json_pack("{s:s, s:O}", "machine", c->machine, "plans", c->plans);
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    int rc = text ? sb_file_replace(c->path, text, strlen(text))
                  : sb_fail("out of memory for the file of plans");
    free(text);
    json_decref(root);
    return rc;
}

void sb_cuda_choices_stop(sb_cuda_choices *c, const char *why)
{
    c->keeps = false;
    snprintf(c->trouble, sizeof c->trouble, "%s", why);
}

void sb_cuda_choices_open(sb_cuda_choices *c, const char *machine)
{
    bool broken = false;
    *c = (sb_cuda_choices){ .keeps = true };
    snprintf(c->machine, sizeof c->machine, "%s", machine);
    if (find_place(c) != 0)
        sb_cuda_choices_stop(c, sb_error());
    else
        c->plans = read_file(c, &broken);
    if (broken)
        snprintf(c->trouble, sizeof c->trouble, "what it held cannot be used (%s)", sb_error());
    if (!c->plans)
        c->plans = json_object();
}

void sb_cuda_choices_close(sb_cuda_choices *c)
{
    json_decref(c->plans);
    *c = (sb_cuda_choices){ 0 };
}

const char *sb_cuda_choices_find(const sb_cuda_choices *c, const char *operation)
{
    return json_string_value(json_object_get(c->plans, operation));
}

const char *sb_cuda_choices_keep(sb_cuda_choices *c, const char *operation, const char *plan)
{
    if (!c->keeps)
        return NULL;
    bool broken;
    json_t *now = read_file(c, &broken), *before = json_incref(json_object_get(c->plans, operation));
    json_t *theirs = json_object_get(now, operation);
    int rc = plan[0] == '\0' ? sb_fail("cuDNN does not name its plans") : 0;
    if (rc == 0 && now && json_object_update(c->plans, now) != 0)
        rc = sb_fail("out of memory for the kept plans");
    if (rc == 0 && (!theirs || json_equal(theirs, before))) {
        if (json_object_set_new(c->plans, operation, json_string(plan)) == 0)
            rc = write_file(c);
        else
            rc = sb_fail("out of memory for a kept plan");
    }
    if (rc != 0) {
        sb_cuda_choices_stop(c, sb_error());
        json_object_del(c->plans, operation);
    }
    json_decref(before);
    json_decref(now);
    return rc == 0 ? sb_cuda_choices_find(c, operation) : NULL;
}
