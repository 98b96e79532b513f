/* manifest.c: the rows of a CSV manifest. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "loader/index/csv.h"
#include "loader/index/scan.h"
#include "proto/error.h"

typedef struct {
    sb_builder *build;
    sb_table table;
    const sb_data_keys *data;
    char folder[PATH_MAX];
} manifest;

/* Every column that guides is there. */
static int check_guides(const sb_table *t, const sb_data_keys *data)
{
    char all[1024] = "";
    for (int i = 0; i < t->header_count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", t->header[i]);
    for (int i = 0; i < data->guide_count; i++)
        if (data->guides[i].weight != 0 && !sb_table_has(t, data->guides[i].column))
            return sb_fail("guide.%s: %s has no column `%s`; it has %s", data->guides[i].column, t->path,
                           data->guides[i].column, all);
    return 0;
}

static int check_header(const sb_table *t)
{
    const char *known[] = { "path", "left", "top", "label", "group", "split" };
    const manifest *m = t->context;
    const sb_data_keys *data = m->data;
    if (check_guides(t, data) != 0)
        return -1;
    for (int i = 0; i < t->header_count; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found = found || strcmp(t->header[i], known[k]) == 0;
        for (int k = 0; k < data->guide_count; k++)
            found = found || strcmp(t->header[i], data->guides[k].column) == 0;
        if (!found)
            return sb_fail(
                "%s:%d: no use for column `%s`; there are path, left, top, label, group, split, and "
                "those that a key guide.COLUMN names (guide.%s=0 passes over it)",
                t->path, t->line, t->header[i], t->header[i]);
    }
    return sb_table_has(t, "path") ? 0 : sb_fail("%s:%d: the column path is missing", t->path, t->line);
}

static int on_manifest_row(void *context)
{
    manifest *m = context;
    sb_table *t = &m->table;
    sb_builder *b = m->build;
    char path[PATH_MAX];
    const char *file = sb_table_field(t, "path"), *label = sb_table_field(t, "label"),
               *group = sb_table_field(t, "group"), *split = sb_table_field(t, "split");
    const bool held = split && strcmp(split, "test") == 0;
    if (file[0] == '\0')
        return sb_fail("%s:%d: path is empty", t->path, t->line);
    if (split && !held && strcmp(split, "train") != 0)
        return sb_fail("%s:%d: split = %s: must be train or test", t->path, t->line, split);
    if ((file[0] == '/' ? snprintf(path, sizeof path, "%s", file)
                        : snprintf(path, sizeof path, "%s/%s", m->folder, file)) >= PATH_MAX)
        return sb_fail("%s:%d: the path is too long", t->path, t->line);
    b->has_split = split != NULL;
    if (sb_scan_excluded(m->data, file))
        return sb_builder_pass(b, path, "left out by data.exclude");
    sb_row *row = sb_builder_row(b, path);
    if (!row)
        return -1;
    row->held = held;
    row->line = t->line;
    sb_builder_label(b, row, label ? label : "");
    sb_builder_group(b, row, group ? group : "");
    for (int k = 0; k < b->index->column_count; k++)
        sb_builder_value(b, row, k, sb_table_field(t, b->index->columns[k].name));
    if (sb_table_has(t, "left") || sb_table_has(t, "top")) {
        int64_t left, top;
        if (sb_table_number(t, "left", 0, INT_MAX / 4, &left) != 0 ||
            sb_table_number(t, "top", 0, INT_MAX / 4, &top) != 0)
            return -1;
        row->image.placed = true;
        row->image.left = (int)left;
        row->image.top = (int)top;
    }
    return 0;
}

int sb_scan_manifest(sb_builder *b, const sb_data_keys *data)
{
    const char *path = data->path;
    manifest m = { .build = b,
                   .data = data,
                   .table = { .on_header = check_header, .on_row = on_manifest_row } };
    m.table.context = &m;
    snprintf(m.folder, sizeof m.folder, "%s", path);
    char *slash = strrchr(m.folder, '/');
    if (slash)
        *slash = '\0';
    else
        snprintf(m.folder, sizeof m.folder, ".");
    return sb_table_read(&m.table, path);
}
