/* store.c: index.csv of a run directory. */
#include <csv.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/index/builder.h"
#include "loader/index/csv.h"
#include "loader/index/names.h"
#include "proto/error.h"
#include "proto/rundir.h"

#define GUIDE "guide." /* stands before the names of columns that guide */

static const char *const index_header =
    "path,page,bytes,mtime_ns,width,height,random_access,placed,left,top,label,group,"
    "train_left,train_top,train_width,train_height,test_left,test_top,test_width,test_height";

int sb_index_write(const sb_index *x, const char *run_dir)
{
    char path[PATH_MAX], *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return sb_fail_errno("writing the index");
    fprintf(out, "%s", index_header);
    for (int k = 0; k < x->column_count; k++) {
        char name[SB_GUIDE_COLUMN + sizeof GUIDE];
        int length = snprintf(name, sizeof name, GUIDE "%s", x->columns[k].name);
        fprintf(out, ",");
        csv_fwrite(out, name, (size_t)length);
    }
    fprintf(out, "\n");
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_image *m = &x->images[i];
        const sb_region *a = &m->train, *b = &m->test;
        const char *label = m->label == UINT32_MAX ? "" : x->labels[m->label],
                   *name = sb_index_name(x, m, path);
        csv_fwrite(out, name, strlen(name));
        fprintf(out, ",%d,%" PRId64 ",%" PRId64 ",%d,%d,%d,%d,%d,%d,", m->page, m->bytes, m->mtime_ns,
                m->width, m->height, m->random_access, m->placed, m->left, m->top);
        csv_fwrite(out, label, strlen(label));
        fprintf(out, ",%" PRIu32 ",%d,%d,%d,%d,%d,%d,%d,%d", m->group, a->left, a->top, a->width, a->height,
                b->left, b->top, b->width, b->height);
        for (int k = 0; k < x->column_count; k++) {
            const char *value = m->value[k] == UINT32_MAX ? "" : x->columns[k].values[m->value[k]];
            fprintf(out, ",");
            csv_fwrite(out, value, strlen(value));
        }
        fprintf(out, "\n");
    }
    int rc = ferror(out) ? sb_fail("out of memory for the text of the index") : 0;
    if (fclose(out) != 0 && rc == 0)
        rc = sb_fail("out of memory for the text of the index");
    if (rc == 0)
        rc = sb_rundir_path(path, run_dir, "index.csv");
    if (rc == 0)
        rc = sb_file_replace(path, text, bytes);
    free(text);
    return rc;
}

typedef struct {
    sb_builder build;
    sb_table table;
    const char *data_path;
} frozen;

static int read_region(const sb_table *t, const char *prefix, const sb_image *image, int tile, sb_region *out)
{
    const char *parts[] = { "left", "top", "width", "height" };
    int64_t value[4];
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s_%s", prefix, parts[i]);
        if (sb_table_number(t, name, 0, INT_MAX, &value[i]) != 0)
            return -1;
    }
    *out = (sb_region){ (int)value[0], (int)value[1], (int)value[2], (int)value[3] };
    bool fits = image->placed ? value[0] == image->left && value[1] == image->top && value[2] == tile &&
                                    value[3] == tile
                              : value[0] + value[2] <= image->width && value[1] + value[3] <= image->height &&
                                    value[2] > 0 && value[3] > 0;
    return fits || value[2] == 0
               ? 0
               : sb_fail("%s:%d: the %s region is not a part of the image", t->path, t->line, prefix);
}

static int check_frozen_header(const sb_table *t)
{
    char joined[1024] = "";
    frozen *f = t->context;
    for (int i = 0; i < t->header_count; i++) {
        if (strncmp(t->header[i], GUIDE, strlen(GUIDE)) == 0) {
            if (strlen(t->header[i]) >= SB_GUIDE_COLUMN + strlen(GUIDE) ||
                sb_builder_column(&f->build, t->header[i] + strlen(GUIDE)) != 0)
                return sb_fail("%s:1: a column's name is too long, or there are too many", t->path);
            continue;
        }
        snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%s", i ? "," : "", t->header[i]);
    }
    return strcmp(joined, index_header) == 0
               ? 0
               : sb_fail("%s:1: not the columns of an index: %s", t->path, index_header);
}

static int on_frozen_row(void *context)
{
    frozen *f = context;
    const sb_table *t = &f->table;
    const char *label = sb_table_field(t, "label"), *file = sb_table_field(t, "path");
    sb_index *x = f->build.index;
    char path[PATH_MAX];
    uint32_t head;
    if (!x->root && file[0] != '/' && sb_names_root(x, f->data_path, sb_names_beside(file)) != 0)
        return -1;
    if (sb_names_path(x, file, path, &head) != 0)
        return sb_context("%s:%d", t->path, t->line);
    sb_row *r = sb_builder_row(&f->build, path);
    if (!r)
        return -1;
    sb_image *m = &r->image;
    m->head = head; /* a whole path stays one, wherever data.path is */
    int64_t page, width, height, random_access, placed, left, top, group;
    if (sb_table_number(t, "page", 0, INT_MAX, &page) != 0 ||
        sb_table_number(t, "bytes", 0, INT64_MAX, &m->bytes) != 0 ||
        sb_table_number(t, "mtime_ns", INT64_MIN, INT64_MAX, &m->mtime_ns) != 0 ||
        sb_table_number(t, "width", 1, INT_MAX / 4, &width) != 0 ||
        sb_table_number(t, "height", 1, INT_MAX / 4, &height) != 0 ||
        sb_table_number(t, "random_access", 0, 1, &random_access) != 0 ||
        sb_table_number(t, "placed", 0, 1, &placed) != 0 ||
        sb_table_number(t, "left", 0, width - 1, &left) != 0 ||
        sb_table_number(t, "top", 0, height - 1, &top) != 0 ||
        sb_table_number(t, "group", 0, UINT32_MAX - 1, &group) != 0)
        return -1;
    m->page = (int)page;
    m->width = (int)width;
    m->height = (int)height;
    m->random_access = random_access != 0;
    m->placed = placed != 0;
    m->left = (int)left;
    m->top = (int)top;
    m->group = (uint32_t)group;
    if (read_region(t, "train", m, f->build.index->tile, &m->train) != 0 ||
        read_region(t, "test", m, f->build.index->tile, &m->test) != 0)
        return -1;
    sb_builder_label(&f->build, r, label);
    for (int k = 0; k < f->build.index->column_count; k++) {
        char name[SB_GUIDE_COLUMN + sizeof GUIDE];
        snprintf(name, sizeof name, GUIDE "%s", f->build.index->columns[k].name);
        sb_builder_value(&f->build, r, k, sb_table_field(t, name));
    }
    return 0;
}

int sb_index_read(sb_index *out, const char *run_dir, const sb_data_keys *data)
{
    char path[PATH_MAX];
    *out = (sb_index){ .tile = data->tile };
    frozen f = { .build = sb_builder_begin(out, data->path),
                 .data_path = data->path,
                 .table = { .on_header = check_frozen_header, .on_row = on_frozen_row } };
    f.table.context = &f;
    int rc = sb_rundir_path(path, run_dir, "index.csv");
    if (rc == 0)
        rc = sb_table_read(&f.table, path);
    if (rc == 0 && f.build.count == 0)
        rc = sb_fail("%s names no image", path);
    return sb_builder_finish(&f.build, rc);
}
