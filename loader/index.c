/* index.c: see index.h. CSV is libcsv's, in both directions. */
#include "loader/index.h"

#include <csv.h>
#include <errno.h>
#include <fts.h>
#include <glib.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/decode.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"

#define MANIFEST_BYTES_MAX (1u << 30)
#define COLUMNS_MAX 32
#define GROUPS_FOR_SPLIT 10
#define GUIDE "guide." /* stands before the names of columns that guide */
#define BESIDE "../"   /* stands before the names of files that lie beside their manifest, or below */
#define NOTED_MAX 20   /* files named on standard error */
#define PROCESS ((size_t)24 << 20) /* a loader: 15 were seen, libvips with it */

/* ---- names ---------------------------------------------------------------------------------------------- */

/* As text alone: data that are away for a moment have the names that they always had. */
static int set_root(sb_index *x, const char *data_path, bool beside)
{
    const char *slash = strrchr(data_path, '/');
    const size_t length = strlen(data_path);
    int rc;
    x->beside = beside;
    if (beside)
        rc = asprintf(&x->root, "%.*s/", slash ? (int)(slash - data_path) : 1, slash ? data_path : ".");
    else
        rc = asprintf(&x->root, "%s%s", data_path, length > 0 && data_path[length - 1] == '/' ? "" : "/");
    if (rc < 0)
        x->root = NULL;
    return rc < 0 ? sb_fail("out of memory for the folder of the data") : 0;
}

/* How many bytes of a path are the root. */
static uint32_t head_of(const sb_index *x, const char *path)
{
    const size_t head = x->root ? strlen(x->root) : 0;
    return head > 0 && strncmp(path, x->root, head) == 0 ? (uint32_t)head : 0;
}

static void name_path(const sb_index *x, const char *path, uint32_t head, char *out)
{
    snprintf(out, PATH_MAX, "%s%s", head > 0 && x->beside ? BESIDE : "", path + head);
}

const char *sb_index_name(const sb_index *x, const sb_image *image, char *out)
{
    name_path(x, image->path, image->head, out);
    return out;
}

static bool is_beside(const char *name) { return strncmp(name, BESIDE, strlen(BESIDE)) == 0; }

/* The path of a name of the index, into out[PATH_MAX], and its head. */
static int path_of(const sb_index *x, const char *name, char *out, uint32_t *head)
{
    const bool whole = name[0] == '/';
    if (!whole && (!x->root || is_beside(name) != x->beside))
        return sb_fail("%s: either every name begins with " BESIDE " or none", name);
    *head = whole ? 0 : (uint32_t)strlen(x->root);
    return snprintf(out, PATH_MAX, "%s%s", whole ? "" : x->root,
                    !whole && x->beside ? name + strlen(BESIDE) : name) < PATH_MAX
               ? 0
               : sb_fail("%s: the path is too long", name);
}

/* ---- a growing index ----------------------------------------------------------------------------------- */

typedef struct {
    sb_image image;
    bool held; /* by the manifest's split */
} row;

typedef struct {
    sb_index *index;
    row *rows;
    uint32_t count, room;
    uint32_t file_first, file_count; /* rows of the file that was added last */
    char *file;
    GHashTable *values[SB_GUIDES_MAX]; /* of the index's columns */
    GHashTable *labels, *groups; /* name to number, counted from 0 in the order of their first rows; groups
                                    only where a manifest has them */
    bool has_split;
} builder;

/* Its tables come first: finish frees them on every way out. */
static builder begin(sb_index *index)
{
    return (builder){ .index = index,
                      .labels = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                      .groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) };
}

static uint32_t number_of(GHashTable *names, const char *name)
{
    gpointer number;
    if (g_hash_table_lookup_extended(names, name, NULL, &number))
        return GPOINTER_TO_UINT(number);
    uint32_t next = g_hash_table_size(names);
    g_hash_table_insert(names, g_strdup(name), GUINT_TO_POINTER(next));
    return next;
}

/* The names in the order of their numbers. */
static int list_names(GHashTable *names, char ***out, uint32_t *count)
{
    GHashTableIter each;
    gpointer name, number;
    *count = 0;
    *out = sb_zeroed(g_hash_table_size(names) + 1, sizeof **out, "the list of labels");
    if (!*out)
        return -1;
    *count = g_hash_table_size(names);
    g_hash_table_iter_init(&each, names);
    while (g_hash_table_iter_next(&each, &name, &number))
        if (!((*out)[GPOINTER_TO_UINT(number)] = strdup(name)))
            return sb_fail("out of memory for a label's name");
    return 0;
}

/* A column of the index that is to be. */
static int add_column(builder *b, const char *name)
{
    sb_index *x = b->index;
    if (x->column_count == SB_GUIDES_MAX)
        return sb_fail("more than %d columns that guide", SB_GUIDES_MAX);
    x->columns[x->column_count].name = strdup(name);
    b->values[x->column_count] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return x->columns[x->column_count++].name ? 0 : sb_fail("out of memory for a column's name");
}

/* The rows from `first` on have this value in a column; "": none. */
static void value_rows(builder *b, uint32_t first, int column, const char *value)
{
    uint32_t number = first < b->count && value[0] ? number_of(b->values[column], value) : UINT32_MAX;
    for (uint32_t i = first; i < b->count; i++)
        b->rows[i].image.value[column] = number;
}

static row *add_row(builder *b, const char *path)
{
    if (b->count == b->room) {
        uint32_t room = b->room ? 2 * b->room : 64;
        row *rows = sb_grown(b->rows, room, sizeof *rows, "the rows of the index");
        if (!rows)
            return NULL;
        b->rows = rows;
        b->room = room;
    }
    row *r = &b->rows[b->count];
    *r = (row){ .image = { .path = strdup(path),
                           .head = head_of(b->index, path),
                           .label = UINT32_MAX,
                           .group = UINT32_MAX } };
    memset(r->image.value, 0xff, sizeof r->image.value);
    if (!r->image.path) {
        sb_fail("out of memory for an image's path");
        return NULL;
    }
    b->count++;
    return r;
}

/* Leaves a file out, for the reason in `reason`, which names it. */
static int skip(builder *b, const char *path, int page, const char *reason)
{
    sb_index *x = b->index;
    sb_skipped *grown = sb_grown(x->skipped, x->skipped_count + 1, sizeof *grown,
                                 "the list of files left out");
    if (!grown)
        return -1;
    x->skipped = grown;
    sb_skipped *s = &grown[x->skipped_count];
    char name[PATH_MAX];
    name_path(x, path, head_of(x, path), name);
    *s = (sb_skipped){ .path = strdup(name), .reason = strdup(reason), .page = page };
    x->skipped_count++;
    if (!s->path || !s->reason)
        return sb_fail("out of memory for the path and the reason of a file left out");
    sb_text_clean(s->path);
    sb_text_clean(s->reason);
    return 0;
}

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

/* Half, a quarter... of the first page, rounded either way: a level of a pyramid (as libvips, GDAL and Aperio
 * write them). */
static bool is_level(const sb_decode_header *first, const sb_decode_header *page)
{
    for (int scale = 2; scale <= first->width || scale <= first->height; scale *= 2) {
        int wide = page->width * scale - first->width, high = page->height * scale - first->height;
        if (abs(wide) < scale && abs(high) < scale)
            return true;
    }
    return false;
}

static int add_page(builder *b, const char *path, int page, const sb_decode_header *h)
{
    row *r = add_row(b, path);
    if (!r)
        return -1;
    r->image.page = page;
    r->image.bytes = h->bytes;
    r->image.mtime_ns = h->mtime_ns;
    r->image.width = h->width;
    r->image.height = h->height;
    r->image.random_access = h->random_access;
    return 0;
}

/* The same rows again: a manifest may name a file once for each tile. */
static int add_again(builder *b, const char *path)
{
    uint32_t first = b->count;
    for (uint32_t i = 0; i < b->file_count; i++) {
        sb_image old = b->rows[b->file_first + i].image;
        const sb_decode_header h = { .width = old.width,
                                     .height = old.height,
                                     .bytes = old.bytes,
                                     .mtime_ns = old.mtime_ns,
                                     .random_access = old.random_access };
        if (add_page(b, path, old.page, &h) != 0)
            return -1;
    }
    b->file_first = first;
    return 0;
}

/* One row a page. */
static int add_file(builder *b, sb_decoder *decoder, const char *path)
{
    char clean[PATH_MAX];
    sb_decode_header first, h;
    if (b->file && strcmp(b->file, path) == 0)
        return add_again(b, path);
    free(b->file);
    b->file = strdup(path);
    b->file_first = b->count;
    b->file_count = 0;
    if (!b->file)
        return sb_fail("out of memory for an image's path");
    snprintf(clean, sizeof clean, "%s", path);
    if (sb_text_clean(clean) > 0) {
        sb_fail("%s: the name is not UTF-8, or holds a line break or another control character", clean);
        return skip(b, path, 0, sb_error());
    }
    if (sb_decoder_probe(decoder, path, 0, &first) != 0)
        return skip(b, path, 0, sb_error());
    int rc = add_page(b, path, 0, &first);
    for (int page = 1; rc == 0 && page < first.pages; page++) {
        if (sb_decoder_probe(decoder, path, page, &h) != 0)
            rc = skip(b, path, page, sb_error());
        else if (!is_level(&first, &h))
            rc = add_page(b, path, page, &h);
    }
    b->file_count = b->count - b->file_first;
    return rc;
}

static void label_rows(builder *b, uint32_t first, const char *label)
{
    uint32_t number = first < b->count ? number_of(b->labels, label) : 0;
    for (uint32_t i = first; i < b->count; i++)
        b->rows[i].image.label = number;
}

/* ---- a folder ------------------------------------------------------------------------------------------ */

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

static int compare_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Paths of all image files below, sorted; *out malloc'ed. */
static int list_folder(builder *b, const char *root, char ***out, uint32_t *count)
{
    char *roots[] = { (char *)(uintptr_t)root, NULL };
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    if (!walk)
        return sb_fail_errno("%s", root);
    int rc = 0;
    uint32_t room = 0;
    for (FTSENT *e; rc == 0 && (e = fts_read(walk));) {
        if (e->fts_level > 0 && e->fts_name[0] == '.') {
            fts_set(walk, e, FTS_SKIP);
        } else if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
            rc = sb_fail("%s: %s", e->fts_path, strerror(e->fts_errno));
            if (e->fts_level > 0)
                rc = skip(b, e->fts_path, 0, sb_error());
        } else if ((e->fts_info == FTS_F || e->fts_info == FTS_DEFAULT || e->fts_info == FTS_SLNONE) &&
                   looks_like_image(e->fts_name)) {
            if (*count == room) {
                room = room ? 2 * room : 256;
                char **grown = sb_grown(*out, room, sizeof *grown, "the list of files");
                if (!grown) {
                    rc = -1;
                    break;
                }
                *out = grown;
            }
            (*out)[*count] = strdup(e->fts_path);
            rc = (*out)[*count] ? 0 : sb_fail("out of memory for a file's path");
            *count += rc == 0;
        }
    }
    fts_close(walk);
    if (rc == 0 && *count > 0)
        qsort(*out, *count, sizeof **out, compare_text);
    return rc;
}

/* The first level of sub-folders gives labels if every image lies in one. */
static int scan_folder(builder *b, sb_decoder *decoder, const char *root)
{
    char **paths = NULL;
    uint32_t count = 0;
    size_t head = strlen(root);
    int rc = list_folder(b, root, &paths, &count);
    bool labelled = count > 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        labelled = labelled && strchr(paths[i] + head + 1, '/');
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        char label[NAME_MAX + 1];
        uint32_t first = b->count;
        snprintf(label, sizeof label, "%.*s", (int)strcspn(paths[i] + head + 1, "/"), paths[i] + head + 1);
        rc = add_file(b, decoder, paths[i]);
        if (rc == 0 && labelled) {
            label_rows(b, first, label);
            for (int k = 0; k < b->index->column_count; k++)
                value_rows(b, first, k, label);
        }
    }
    for (uint32_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
    return rc;
}

/* ---- CSV ----------------------------------------------------------------------------------------------- */

typedef struct table table;
struct table {
    const char *path;
    char *fields[COLUMNS_MAX];
    int field_count;
    int line, breaks; /* where the row begins; line breaks inside its fields */
    bool after_return;
    int header_count;
    char *header[COLUMNS_MAX];
    int (*on_header)(const table *t);
    int (*on_row)(void *context);
    void *context;
    int rc;
};

static void on_field(void *data, size_t length, void *context)
{
    table *t = context;
    if (t->rc != 0)
        return;
    if (t->field_count == COLUMNS_MAX || (length > 0 && memchr(data, 0, length))) {
        t->rc = sb_fail("%s:%d: more than %d columns, or a zero byte", t->path, t->line, COLUMNS_MAX);
        return;
    }
    for (size_t i = 0; i < length; i++)
        t->breaks += ((const char *)data)[i] == '\n';
    t->fields[t->field_count] = strndup(data ? data : "", length);
    t->rc = t->fields[t->field_count] ? 0 : sb_fail("out of memory for a field of %s", t->path);
    t->field_count += t->rc == 0;
}

static int take_header(table *t)
{
    t->header_count = t->field_count;
    memcpy(t->header, t->fields, sizeof t->header);
    t->field_count = 0;
    for (int i = 0; i < t->header_count; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(t->header[i], t->header[j]) == 0)
                return sb_fail("%s:%d: there are two columns `%s`", t->path, t->line, t->header[i]);
    return t->on_header(t);
}

/* Called at every line break; an empty line has no fields and is passed over. */
static void on_line(int ending, void *context)
{
    table *t = context;
    bool second_half = t->after_return && ending == '\n' && t->field_count == 0; /* of CR LF */
    if (t->rc == 0 && t->field_count > 0) {
        if (t->header_count == 0)
            t->rc = take_header(t);
        else if (t->field_count != t->header_count)
            t->rc = sb_fail("%s:%d: %d columns, the first line has %d", t->path, t->line, t->field_count,
                            t->header_count);
        else
            t->rc = t->on_row(t->context);
    }
    for (int i = 0; i < t->field_count; i++)
        free(t->fields[i]);
    t->field_count = 0;
    t->line += second_half ? 0 : 1 + t->breaks;
    t->breaks = 0;
    t->after_return = ending == '\r';
}

static int read_table(table *t, const char *path)
{
    char *data;
    size_t bytes;
    struct csv_parser parser;
    t->path = path;
    t->line = 1;
    if (sb_file_read(path, MANIFEST_BYTES_MAX, &data, &bytes) != 0)
        return -1;
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0) {
        free(data);
        return sb_fail("out of memory for reading %s", path);
    }
    size_t skip = bytes >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0; /* a byte order mark */
    if (csv_parse(&parser, data + skip, bytes - skip, on_field, on_line, t) != bytes - skip ||
        csv_fini(&parser, on_field, on_line, t) != 0)
        if (t->rc == 0)
            t->rc = sb_fail("%s:%d: not CSV: %s", path, t->line, csv_strerror(csv_error(&parser)));
    if (t->rc == 0 && t->header_count == 0)
        t->rc = sb_fail("%s is empty: its first line names the columns", path);
    csv_free(&parser);
    free(data);
    for (int i = 0; i < t->field_count; i++)
        free(t->fields[i]);
    for (int i = 0; i < t->header_count; i++)
        free(t->header[i]);
    return t->rc;
}

/* The field of a column in the current row; NULL: there is no such column. */
static const char *column(const table *t, const char *name)
{
    for (int i = 0; i < t->header_count; i++)
        if (strcmp(t->header[i], name) == 0)
            return t->fields[i];
    return NULL;
}

static int number(const table *t, const char *name, int64_t min, int64_t max, int64_t *out)
{
    const char *field = column(t, name);
    char *end;
    if (!field)
        return sb_fail("%s: column %s is missing", t->path, name);
    errno = 0;
    long long value = strtoll(field, &end, 10);
    if (errno || end == field || *end || value < min || value > max)
        return sb_fail("%s:%d: %s = %s: must be a whole number from %lld to %lld", t->path, t->line, name,
                       field, (long long)min, (long long)max);
    *out = value;
    return 0;
}

/* ---- a manifest ---------------------------------------------------------------------------------------- */

typedef struct {
    builder *build;
    sb_decoder *decoder;
    table table;
    const sb_data_keys *data;
    char folder[PATH_MAX];
} manifest;

static bool has_column(const table *t, const char *name)
{
    int i = 0;
    while (i < t->header_count && strcmp(t->header[i], name) != 0)
        i++;
    return i < t->header_count;
}

/* Every column that guides is there. */
static int check_guides(const table *t, const sb_data_keys *data)
{
    char all[1024] = "";
    for (int i = 0; i < t->header_count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", t->header[i]);
    for (int i = 0; i < data->guide_count; i++)
        if (data->guides[i].weight != 0 && !has_column(t, data->guides[i].column))
            return sb_fail("guide.%s: %s has no column `%s`; it has %s", data->guides[i].column, t->path,
                           data->guides[i].column, all);
    return 0;
}

static int check_header(const table *t)
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
    return has_column(t, "path") ? 0 : sb_fail("%s:%d: the column path is missing", t->path, t->line);
}

static int on_manifest_row(void *context)
{
    manifest *m = context;
    table *t = &m->table;
    builder *b = m->build;
    char path[PATH_MAX];
    const char *file = column(t, "path"), *label = column(t, "label"), *group = column(t, "group"),
               *split = column(t, "split");
    bool held = split && strcmp(split, "test") == 0;
    if (file[0] == '\0')
        return sb_fail("%s:%d: path is empty", t->path, t->line);
    if (split && !held && strcmp(split, "train") != 0)
        return sb_fail("%s:%d: split = %s: must be train or test", t->path, t->line, split);
    if ((file[0] == '/' ? snprintf(path, sizeof path, "%s", file)
                        : snprintf(path, sizeof path, "%s/%s", m->folder, file)) >= PATH_MAX)
        return sb_fail("%s:%d: the path is too long", t->path, t->line);
    uint32_t first = b->count;
    b->has_split = split != NULL;
    if (add_file(b, m->decoder, path) != 0)
        return -1;
    if (label && label[0])
        label_rows(b, first, label);
    for (int k = 0; k < b->index->column_count; k++)
        value_rows(b, first, k, column(t, b->index->columns[k].name));
    for (uint32_t i = first; i < b->count; i++) {
        sb_image *image = &b->rows[i].image;
        b->rows[i].held = held;
        if (column(t, "left") || column(t, "top")) {
            int64_t left, top;
            if (number(t, "left", 0, image->width - 1, &left) != 0 ||
                number(t, "top", 0, image->height - 1, &top) != 0)
                return -1;
            image->placed = true;
            image->left = (int)left;
            image->top = (int)top;
        }
        if (group && group[0])
            image->group = number_of(b->groups, group);
    }
    return 0;
}

/* As their names: what lies below the root comes first, wherever that is. */
static int compare_files(const sb_image *x, const sb_image *y)
{
    const int outside = (x->head == 0) - (y->head == 0);
    return outside ? outside : strcmp(x->path, y->path);
}

static int compare_rows(const sb_image *x, const sb_image *y)
{
    int order = compare_files(x, y);
    order = order ? order : x->page - y->page;
    order = order ? order : x->top - y->top;
    return order ? order : x->left - y->left;
}

static int by_path(const void *a, const void *b)
{
    return compare_rows(&((const row *)a)->image, &((const row *)b)->image);
}

static bool same_file(const sb_image *a, const sb_image *b)
{
    return a->page == b->page && strcmp(a->path, b->path) == 0;
}

/* An image in the place of its folder. */
static int refuse_image(sb_decoder *decoder, const char *path)
{
    sb_decode_header header;
    return sb_decoder_probe(decoder, path, 0, &header) != 0
               ? 0
               : sb_fail("data.path = %s is an image: a folder of images or a manifest (CSV, with a column "
                         "`path`) is expected",
                         path);
}

static int scan_manifest(builder *b, sb_decoder *decoder, const sb_data_keys *data)
{
    const char *path = data->path;
    manifest m = { .build = b,
                   .data = data,
                   .decoder = decoder,
                   .table = { .on_header = check_header, .on_row = on_manifest_row } };
    m.table.context = &m;
    snprintf(m.folder, sizeof m.folder, "%s", path);
    char *slash = strrchr(m.folder, '/');
    if (slash)
        *slash = '\0';
    else
        snprintf(m.folder, sizeof m.folder, ".");
    return read_table(&m.table, path);
}

/* ---- what is held out ---------------------------------------------------------------------------------- */

static sb_region whole(const sb_image *image, int tile)
{
    if (image->placed)
        return (sb_region){ image->left, image->top, tile, tile };
    return (sb_region){ 0, 0, image->width, image->height };
}

/* Train on all but the last part of the longer side and a guard band of a tile before it. */
static bool cut_strip(sb_image *image, int tile)
{
    bool wide = image->width >= image->height;
    int side = wide ? image->width : image->height, other = wide ? image->height : image->width;
    int strip = side >= 5 * tile ? 2 * tile : tile;
    strip = side / 6 > strip ? side / 6 : strip;
    if (image->placed || side - strip - tile < tile || other < tile)
        return false;
    int kept = side - strip - tile;
    image->train = (sb_region){ 0, 0, wide ? kept : image->width, wide ? image->height : kept };
    image->test = wide ? (sb_region){ side - strip, 0, strip, image->height }
                       : (sb_region){ 0, side - strip, image->width, strip };
    return true;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

/* Works on sorted rows. The root is not part of a path's hash, so that a data set may be moved. */
static void hold_out(builder *b, int tile)
{
    uint32_t files = 0;
    bool strips = false, given = b->has_split || g_hash_table_size(b->groups) >= GROUPS_FOR_SPLIT;
    for (uint32_t i = 0; i < b->count; i++) {
        sb_image *image = &b->rows[i].image;
        image->train = whole(image, tile);
        files += i == 0 || strcmp(image->path, b->rows[i - 1].image.path) != 0;
        if (given) {
            bool group = image->group != UINT32_MAX &&
                         image->group % GROUPS_FOR_SPLIT == GROUPS_FOR_SPLIT - 1;
            if (b->has_split ? b->rows[i].held : group) {
                image->test = image->train;
                image->train = (sb_region){ 0 };
            }
        } else {
            strips = cut_strip(image, tile) || strips;
        }
    }
    if (given || strips || files < 10)
        return;
    /* Every row of a file goes the same way, so that no pixel is in both parts. */
    for (uint32_t i = 0; i < b->count; i++) {
        sb_image *image = &b->rows[i].image;
        if (hash_of(image->path + (image->head > 0 ? image->head - 1 : 0)) % 10 ==
            9) { /* from its slash on */
            image->test = image->train;
            image->train = (sb_region){ 0 };
        }
    }
}

/* ---- the index ----------------------------------------------------------------------------------------- */

static bool share_pixels(const sb_region *a, const sb_region *b)
{
    return a->width > 0 && b->width > 0 && a->left < b->left + b->width && b->left < a->left + a->width &&
           a->top < b->top + b->height && b->top < a->top + a->height;
}

static int fail_shared(const sb_image *a, const sb_image *b)
{
    return sb_fail("%s: pixels at (%d, %d) are both trained on and held out: give every tile of a file the "
                   "same split or leave room between them",
                   a->path, b->train.left, b->train.top);
}

/* Sorted rows: no row twice, no pixel both trained on and held out. The rows of a file lie together, its
 * tiles by their top. */
static int check(const sb_index *x)
{
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_image *a = &x->images[i];
        int order = i > 0 ? compare_rows(a - 1, a) : -1;
        if (order > 0)
            return sb_fail("%s: its row is out of order", a->path);
        if (order == 0)
            return a->placed ? sb_fail("%s: its tile at (%d, %d) is there twice", a->path, a->left, a->top)
                             : sb_fail("%s: it is there twice", a->path);
        if (share_pixels(&a->train, &a->test))
            return fail_shared(a, a);
        for (uint32_t j = i; j-- > a->file && a->top - x->images[j].top < x->tile;)
            if (share_pixels(&x->images[j].train, &a->test) || share_pixels(&a->train, &x->images[j].test))
                return fail_shared(a, &x->images[j]);
    }
    return 0;
}

/* Moves the builder's rows into its index, counts, and checks. Frees the builder. */
static int finish(builder *b, int rc)
{
    sb_index *x = b->index;
    uint32_t next = g_hash_table_size(b->groups);
    x->images = b->count ? sb_zeroed(b->count, sizeof *x->images, "the images of the index") : NULL;
    if (b->count > 0 && !x->images)
        rc = -1;
    for (uint32_t i = 0; i < b->count; i++) {
        sb_image *image = &b->rows[i].image;
        if (!x->images) {
            free(image->path);
            continue;
        }
        x->images[i] = *image;
        image = &x->images[i];
        x->count++;
        image->file = i > 0 && same_file(image - 1, image) ? image[-1].file : i;
        if (image->group == UINT32_MAX) /* rows of one file are one group */
            image->group = i > 0 && strcmp(image->path, image[-1].path) == 0 ? image[-1].group : next++;
        uint32_t across = (uint32_t)(image->train.width / x->tile),
                 down = (uint32_t)(image->train.height / x->tile);
        image->tiles = image->train.width == 0 ? 0 : image->placed || across * down == 0 ? 1 : across * down;
        x->samples += image->tiles;
    }
    if (rc == 0)
        rc = list_names(b->labels, &x->labels, &x->label_count);
    for (int k = 0; k < x->column_count; k++) {
        if (rc == 0)
            rc = list_names(b->values[k], &x->columns[k].values, &x->columns[k].count);
        g_hash_table_destroy(b->values[k]);
    }
    g_hash_table_destroy(b->labels);
    g_hash_table_destroy(b->groups);
    free(b->rows);
    free(b->file);
    if (rc == 0)
        rc = check(x);
    if (rc != 0)
        sb_index_free(x);
    return rc;
}

/* The columns that guide. Of a folder the labels alone are known, which stand in no column. */
static int add_columns(builder *b, const sb_data_keys *data, bool folder)
{
    for (int i = 0; i < data->guide_count; i++) {
        const sb_guide_key *g = &data->guides[i];
        if (g->weight == 0)
            continue;
        if (folder && strcmp(g->column, "label") != 0)
            return sb_fail("guide.%s: data.path = %s is a folder: columns are a CSV manifest's (a folder has "
                           "label alone)",
                           g->column, data->path);
        if (add_column(b, g->column) != 0)
            return -1;
    }
    return 0;
}

int sb_index_scan(sb_index *out, const sb_data_keys *data, const sb_loader_keys *loader)
{
    *out = (sb_index){ .tile = data->tile };
    builder b = begin(out);
    sb_decoder *decoder = NULL;
    struct stat info;
    const char *path = data->path;
    size_t cache = loader->cache_mb > 0 ? (size_t)loader->cache_mb << 20 : sb_decoder_most();
    int rc = stat(path, &info) != 0 ? sb_fail_errno("data.path = %s", path)
                                    : sb_decoder_create(&decoder, data->channels, cache, data->untrusted);
    if (rc == 0 && !S_ISDIR(info.st_mode))
        rc = refuse_image(decoder, path);
    if (rc == 0)
        rc = set_root(out, path, !S_ISDIR(info.st_mode));
    if (rc == 0)
        rc = add_columns(&b, data, S_ISDIR(info.st_mode));
    if (rc == 0)
        rc = S_ISDIR(info.st_mode) ? scan_folder(&b, decoder, path) : scan_manifest(&b, decoder, data);
    sb_decoder_destroy(&decoder);
    if (rc == 0 && b.count == 0)
        rc = sb_fail("data.path = %s: no image that can be used%s%s", path, out->skipped_count ? "; " : "",
                     out->skipped_count ? out->skipped[0].reason : "");
    if (rc == 0) {
        qsort(b.rows, b.count, sizeof *b.rows, by_path);
        hold_out(&b, out->tile);
    }
    return finish(&b, rc);
}

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
    builder build;
    table table;
    const char *data_path;
} frozen;

static int read_region(const table *t, const char *prefix, const sb_image *image, int tile, sb_region *out)
{
    const char *parts[] = { "left", "top", "width", "height" };
    int64_t value[4];
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s_%s", prefix, parts[i]);
        if (number(t, name, 0, INT_MAX, &value[i]) != 0)
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

static int check_frozen_header(const table *t)
{
    char joined[1024] = "";
    frozen *f = t->context;
    for (int i = 0; i < t->header_count; i++) {
        if (strncmp(t->header[i], GUIDE, strlen(GUIDE)) == 0) {
            if (strlen(t->header[i]) >= SB_GUIDE_COLUMN + strlen(GUIDE) ||
                add_column(&f->build, t->header[i] + strlen(GUIDE)) != 0)
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
    const table *t = &f->table;
    const char *label = column(t, "label"), *file = column(t, "path");
    sb_index *x = f->build.index;
    char path[PATH_MAX];
    uint32_t head;
    if (!x->root && file[0] != '/' && set_root(x, f->data_path, is_beside(file)) != 0)
        return -1;
    if (path_of(x, file, path, &head) != 0)
        return sb_context("%s:%d", t->path, t->line);
    row *r = add_row(&f->build, path);
    if (!r)
        return -1;
    sb_image *m = &r->image;
    m->head = head; /* a whole path stays one, wherever data.path is */
    int64_t page, width, height, random_access, placed, left, top, group;
    if (number(t, "page", 0, INT_MAX, &page) != 0 || number(t, "bytes", 0, INT64_MAX, &m->bytes) != 0 ||
        number(t, "mtime_ns", INT64_MIN, INT64_MAX, &m->mtime_ns) != 0 ||
        number(t, "width", 1, INT_MAX / 4, &width) != 0 ||
        number(t, "height", 1, INT_MAX / 4, &height) != 0 ||
        number(t, "random_access", 0, 1, &random_access) != 0 || number(t, "placed", 0, 1, &placed) != 0 ||
        number(t, "left", 0, width - 1, &left) != 0 || number(t, "top", 0, height - 1, &top) != 0 ||
        number(t, "group", 0, UINT32_MAX - 1, &group) != 0)
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
    if (label[0])
        label_rows(&f->build, f->build.count - 1, label);
    for (int k = 0; k < f->build.index->column_count; k++) {
        char name[SB_GUIDE_COLUMN + sizeof GUIDE];
        snprintf(name, sizeof name, GUIDE "%s", f->build.index->columns[k].name);
        value_rows(&f->build, f->build.count - 1, k, column(t, name));
    }
    return 0;
}

int sb_index_read(sb_index *out, const char *run_dir, const sb_data_keys *data)
{
    char path[PATH_MAX];
    *out = (sb_index){ .tile = data->tile };
    frozen f = { .build = begin(out),
                 .data_path = data->path,
                 .table = { .on_header = check_frozen_header, .on_row = on_frozen_row } };
    f.table.context = &f;
    int rc = sb_rundir_path(path, run_dir, "index.csv");
    if (rc == 0)
        rc = read_table(&f.table, path);
    if (rc == 0 && f.build.count == 0)
        rc = sb_fail("%s names no image", path);
    return finish(&f.build, rc);
}

void sb_index_note_skipped(const sb_index *x)
{
    for (uint32_t i = 0; i < x->skipped_count && i < NOTED_MAX; i++)
        sb_note("not used: %s", x->skipped[i].reason);
    if (x->skipped_count > NOTED_MAX)
        sb_note("not used: %" PRIu32 " files more", x->skipped_count - NOTED_MAX);
}

uint32_t sb_index_changed(const sb_index *x)
{
    uint32_t changed = 0, touched = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_image *m = &x->images[i];
        struct stat info;
        if (i > 0 && strcmp(m->path, m[-1].path) == 0)
            continue;
        bool there = stat(m->path, &info) == 0;
        if (there && info.st_size == m->bytes) {
            touched += (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec != m->mtime_ns;
            continue;
        }
        if (++changed <= NOTED_MAX)
            sb_note("%s %s since the run began", m->path, there ? "was changed" : "has vanished");
    }
    if (changed > NOTED_MAX)
        sb_note("%" PRIu32 " files more were changed or have vanished", changed - NOTED_MAX);
    if (touched > 0) /* data that were moved may be copies */
        sb_note("%" PRIu32 " of the files have another time than when the run began, and the same size",
                touched);
    return changed + touched;
}

size_t sb_index_largest(const sb_index *x, int channels)
{
    size_t largest = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_image *m = &x->images[i];
        size_t bytes = (size_t)m->width * (size_t)m->height * (size_t)channels;
        if (!m->random_access && bytes > largest)
            largest = bytes;
    }
    return largest;
}

size_t sb_index_beside(const sb_index *x)
{
    size_t largest = 0;
    for (uint32_t i = 0; i < x->count; i++)
        if (!x->images[i].random_access && (size_t)x->images[i].bytes > largest)
            largest = (size_t)x->images[i].bytes;
    return PROCESS + largest;
}

int sb_index_path(const sb_index *x, const char *name, char *out)
{
    uint32_t head;
    return path_of(x, name, out, &head);
}

uint32_t sb_index_find(const sb_index *x, const char *name, int page)
{
    char path[PATH_MAX];
    sb_image wanted = { .path = path, .page = page };
    uint32_t low = 0, high = x->count;
    if (path_of(x, name, path, &wanted.head) != 0)
        return UINT32_MAX;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_files(&x->images[middle], &wanted);
        if (order < 0 || (order == 0 && x->images[middle].page < page))
            low = middle + 1;
        else
            high = middle;
    }
    return low < x->count && same_file(&x->images[low], &wanted) ? low : UINT32_MAX;
}

sb_decode_source sb_index_source(const sb_image *m)
{
    return (sb_decode_source){ .path = m->path,
                               .page = m->page,
                               .bytes = m->bytes,
                               .width = m->width,
                               .height = m->height,
                               .random_access = m->random_access };
}

/* How many tiles lie beside each other in `length` pixels; a region that is smaller than a tile has one,
 * which is completed by mirroring. */
static int64_t tiles_along(const sb_index *x, int length) { return length < x->tile ? 1 : length / x->tile; }

static int64_t tiles_of(const sb_index *x, const sb_region *r, int64_t *columns)
{
    *columns = tiles_along(x, r->width);
    return r->width > 0 ? *columns * tiles_along(x, r->height) : 0;
}

int sb_index_test_tiles(const sb_index *x, int max, sb_tile **out)
{
    int64_t total = 0, columns, before = 0;
    for (uint32_t i = 0; i < x->count && total < INT64_MAX / 2; i++) /* a file may claim any size */
        total += tiles_of(x, &x->images[i].test, &columns);
    const int64_t count = total < max ? total : max;
    *out = sb_grown(NULL, (size_t)(count > 0 ? count : 0), sizeof **out, "the held-out tiles");
    if (!*out)
        return -1;
    uint32_t image = 0;
    for (int64_t k = 1; k <= count; k++) {
        const int64_t at = total / count * k + total % count * k / count - 1; /* total k / count, rounded */
        int64_t here;
        while (at - before >= (here = tiles_of(x, &x->images[image].test, &columns))) {
            before += here;
            image++;
        }
        const sb_region *r = &x->images[image].test;
        (*out)[k - 1] = (sb_tile){ .image = image,
                                   .left = r->left + (int)((at - before) % columns) * x->tile,
                                   .top = r->top + (int)((at - before) / columns) * x->tile };
    }
    return (int)count;
}

void sb_index_free(sb_index *x)
{
    for (uint32_t i = 0; x->images && i < x->count; i++)
        free(x->images[i].path);
    for (uint32_t i = 0; i < x->label_count; i++)
        free(x->labels[i]);
    for (int k = 0; k < x->column_count; k++) {
        for (uint32_t i = 0; i < x->columns[k].count; i++)
            free(x->columns[k].values[i]);
        free(x->columns[k].values);
        free(x->columns[k].name);
    }
    free(x->images);
    free(x->root);
    free(x->labels);
    for (uint32_t i = 0; i < x->skipped_count; i++) {
        free(x->skipped[i].path);
        free(x->skipped[i].reason);
    }
    free(x->skipped);
    *x = (sb_index){ 0 };
}
