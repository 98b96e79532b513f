/* scan.c: a data set becomes an index: what is named, what that is, what is held out. */
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loader/index/names.h"
#include "loader/index/ranges.h"
#include "loader/index/scan.h"
#include "proto/error.h"

/* An image in the place of its folder. */
static int refuse_image(sb_prober *prober, const char *path)
{
    sb_probe probe;
    if (sb_prober_look(prober, path, false, &probe) != 0)
        return -1;
    return probe.verdict == SB_PROBE_NO_IMAGE
               ? 0
               : sb_fail("data.path = %s is an image: a folder of images or a manifest (CSV, with a column "
                         "`path`) is expected",
                         path);
}

/* One pattern of data.exclude: with a slash it is of the whole name, else of any part between slashes. */
static bool matches(const char *pattern, const char *name)
{
    if (strchr(pattern, '/'))
        return fnmatch(pattern, name, FNM_LEADING_DIR) == 0;
    for (const char *part = name; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        char one[NAME_MAX + 1];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(part, "/"), part);
        if (fnmatch(pattern, one, 0) == 0)
            return true;
    }
    return false;
}

bool sb_scan_excluded(const sb_data_keys *data, const char *name)
{
    for (const char *at = data->exclude; *at;) {
        char pattern[PATH_MAX];
        const size_t length = strcspn(at, ",");
        snprintf(pattern, sizeof pattern, "%.*s", (int)length, at);
        g_strstrip(pattern);
        if (pattern[0] && matches(pattern, name))
            return true;
        at += length + (at[length] == ',');
    }
    return false;
}

/* The columns that guide. Of a folder the labels alone are known, which stand in no column. */
static int add_columns(sb_builder *b, const sb_data_keys *data, bool folder)
{
    for (int i = 0; i < data->guide_count; i++) {
        const sb_guide_key *g = &data->guides[i];
        if (g->weight == 0)
            continue;
        if (folder && strcmp(g->column, "label") != 0)
            return sb_fail("guide.%s: data.path = %s is a folder: columns are a CSV manifest's (a folder has "
                           "label alone)",
                           g->column, data->path);
        if (sb_builder_column(b, g->column) != 0)
            return -1;
    }
    return 0;
}
static int fail_empty(const sb_index *x, const char *path)
{
    if (x->skipped_count > 0)
        return sb_fail("data.path = %s: no image that can be used; %s", path, x->skipped[0].reason);
    if (x->passed_count > 0)
        return sb_fail("data.path = %s: no image that can be used; %s: %s", path, x->passed[0].first,
                       x->passed[0].reason);
    return sb_fail("data.path = %s: no image that can be used", path);
}

int sb_index_scan(sb_index *out, const sb_data_keys *data, const sb_loader_keys *loader, bool decode)
{
    *out = (sb_index){ .tile = data->tile };
    const char *path = data->path;
    const size_t cache = loader->cache_mb > 0 ? (size_t)loader->cache_mb << 20 : sb_decoder_most();
    sb_builder b = sb_builder_begin(out, path);
    sb_prober prober = { .data = data, .timeout = loader->timeout, .cache_bytes = cache, .decode = decode };
    struct stat info;
    int rc = stat(path, &info) != 0 ? sb_fail_errno("data.path = %s", path) : 0;
    const bool folder = rc == 0 && S_ISDIR(info.st_mode);
    if (rc == 0 && !folder)
        rc = refuse_image(&prober, path);
    if (rc == 0)
        rc = sb_names_root(out, path, !folder);
    if (rc == 0)
        rc = add_columns(&b, data, folder);
    if (rc == 0)
        rc = folder ? sb_scan_folder(&b, data) : sb_scan_manifest(&b, data);
    if (rc == 0)
        rc = sb_builder_sort(&b);
    if (rc == 0)
        rc = sb_scan_look(&b, &prober);
    if (rc == 0)
        rc = sb_scan_ranges(&b, &prober);
    sb_prober_end(&prober);
    if (rc == 0)
        rc = sb_scan_twins(&b);
    if (rc == 0 && b.count == 0)
        rc = fail_empty(out, path);
    if (rc == 0 && folder)
        sb_scan_label(&b);
    if (rc == 0)
        rc = sb_builder_number(&b);
    if (rc == 0)
        sb_hold_out(&b, out->tile);
    return sb_builder_finish(&b, rc);
}
