/* folder.c: the image files of a folder, and their labels. */
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "loader/index/scan.h"
#include "proto/error.h"

/* Files that are not meant to be images are passed over without a word. */
static bool looks_like_image(const char *path)
{
    const char *suffixes[] = { "jpg", "jpeg", "jpe",  "png",  "tif",  "tiff", "webp", "gif", "bmp",
                               "ppm", "pgm",  "jp2",  "avif", "heic", "heif", "jxl",  "svs", "ndpi",
                               "vms", "scn",  "mrxs", "dds",  "exr",  "hdr",  "v",    "vips" };
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcasecmp(dot + 1, suffixes[i]) == 0)
            return true;
    return false;
}

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

/* One entry of the walk. */
static int take(sb_builder *b, FTS *walk, FTSENT *e)
{
    if (e->fts_level > 0 && e->fts_name[0] == '.')
        return fts_set(walk, e, FTS_SKIP);
    if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
        sb_fail("%s: %s", e->fts_path, strerror(e->fts_errno));
        return e->fts_level > 0 ? sb_builder_skip(b, e->fts_path, 0, sb_error()) : -1;
    }
    const bool file = e->fts_info == FTS_F || e->fts_info == FTS_DEFAULT || e->fts_info == FTS_SLNONE;
    return !file || !looks_like_image(e->fts_name) || sb_builder_row(b, e->fts_path) ? 0 : -1;
}

/* The first level of sub-folders gives labels if every image lies in one. */
static void label(sb_builder *b, size_t head)
{
    for (uint32_t i = 0; i < b->count; i++)
        if (!strchr(b->rows[i].image.path + head, '/'))
            return;
    for (uint32_t i = 0; i < b->count; i++) {
        sb_row *row = &b->rows[i];
        const char *below = row->image.path + head;
        char name[NAME_MAX + 1];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(below, "/"), below);
        sb_builder_label(b, row, name);
        for (int k = 0; k < b->index->column_count; k++)
            sb_builder_value(b, row, k, name);
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
        rc = take(b, walk, e);
    fts_close(walk);
    if (rc == 0)
        label(b, strlen(b->index->root));
    return rc;
}
