/* folder.c: the files of a folder, and their labels. */
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/index/scan.h"
#include "proto/error.h"
#include "proto/rundir.h"

/* Folders that systems and programs make for themselves. */
static bool is_left_out(const char *name)
{
    static const char *const names[] = { "@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "lost+found" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* A run's pictures are no data. */
static bool is_run(const char *path)
{
    char file[PATH_MAX];
    return sb_rundir_path(file, path, "config.yaml") == 0 && access(file, F_OK) == 0 &&
           sb_rundir_path(file, path, "checkpoints") == 0 && access(file, F_OK) == 0;
}

/* What ./run leaves in folders that it fetches. */
static bool is_mark(const FTSENT *e) { return strcmp(e->fts_name, ".complete") == 0; }

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

/* Why an entry is not looked at; NULL: it is. */
static const char *reason_to_pass(const sb_builder *b, const sb_data_keys *data, const FTSENT *e)
{
    if (e->fts_level == 0)
        return NULL;
    if (e->fts_name[0] == '.')
        return "hidden";
    if (sb_scan_excluded(data, e->fts_path + strlen(b->index->root)))
        return "left out by data.exclude";
    if (e->fts_info == FTS_DC)
        return "a link to a folder that it lies in";
    if (e->fts_info == FTS_D && is_left_out(e->fts_name))
        return "a system's own folder";
    if (e->fts_info == FTS_D && is_run(e->fts_path))
        return "a run of smallbatch";
    return NULL;
}

/* One entry of the walk. */
static int take(sb_builder *b, const sb_data_keys *data, FTS *walk, FTSENT *e)
{
    const char *reason = reason_to_pass(b, data, e);
    if (e->fts_info == FTS_DP || is_mark(e))
        return 0;
    if (reason) {
        fts_set(walk, e, FTS_SKIP);
        return sb_builder_pass(b, e->fts_path, reason);
    }
    if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
        sb_fail("%s: %s", e->fts_path, strerror(e->fts_errno));
        return e->fts_level > 0 ? sb_builder_skip(b, e->fts_path, 0, sb_error()) : -1;
    }
    const bool file = e->fts_info == FTS_F || e->fts_info == FTS_DEFAULT || e->fts_info == FTS_SLNONE;
    return !file || sb_builder_row(b, e->fts_path) ? 0 : -1;
}

void sb_scan_label(sb_builder *b)
{
    for (uint32_t i = 0; i < b->count; i++)
        if (!strchr(b->names + b->rows[i].image.name, '/'))
            return;
    for (uint32_t i = 0; i < b->count; i++) {
        sb_row *row = &b->rows[i];
        const char *name = b->names + row->image.name;
        char label[NAME_MAX + 1];
        snprintf(label, sizeof label, "%.*s", (int)strcspn(name, "/"), name);
        sb_builder_label(b, row, label);
        for (int k = 0; k < b->index->column_count; k++)
            sb_builder_value(b, row, k, label);
    }
}

int sb_scan_folder(sb_builder *b, const sb_data_keys *data)
{
    char *roots[] = { (char *)(uintptr_t)data->path, NULL };
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    int rc = 0;
    if (!walk)
        return sb_fail_errno("%s", data->path);
    for (FTSENT *e; rc == 0 && (e = fts_read(walk));)
        rc = take(b, data, walk, e);
    fts_close(walk);
    return rc;
}
