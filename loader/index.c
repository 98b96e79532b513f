/* index.c: see index.h. CSV is libcsv's, in both directions. */
#include "loader/index.h"

#include <csv.h>
#include <errno.h>
#include <fts.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/decode.h"
#include "proto/error.h"
#include "proto/rundir.h"

#define MANIFEST_BYTES_MAX (1u << 30)
#define COLUMNS_MAX 32
#define GROUPS_FOR_SPLIT 10

/* ---- text ----------------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    char *data;
    size_t used;
} text;

__attribute__((format(printf, 2, 3))) static int put(text *t, const char *format, ...)
{
    va_list arguments;
    char *piece;
    va_start(arguments, format);
    int length = vasprintf(&piece, format, arguments);
    va_end(arguments);
    if (length < 0)
        return sb_fail("out of memory");
    /* Grows by doubling, so that a long text costs linear time. */
    size_t room = 64;
    while (room < t->used + 1)
        room *= 2;
    if (!t->data || t->used + (size_t)length + 1 > room) {
        while (room < t->used + (size_t)length + 1)
            room *= 2;
        char *grown = realloc(t->data, room);
        if (!grown) {
            free(piece);
            return sb_fail("out of memory");
        }
        t->data = grown;
    }
    memcpy(t->data + t->used, piece, (size_t)length + 1);
    t->used += (size_t)length;
    free(piece);
    return 0;
}

/* ---- a growing index -------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    sb_index *index;
    uint32_t room;
    text skipped;
    char **groups; /* names, where a manifest has them */
    uint32_t group_count;
    bool has_split;
    int *split; /* [count]: 0 train, 1 test; parallel to images */
} builder;

/* The number of `name` in a list of names, which grows. UINT32_MAX: out of memory. */
static uint32_t number_of(char ***names, uint32_t *count, const char *name)
{
    for (uint32_t i = 0; i < *count; i++)
        if (strcmp((*names)[i], name) == 0)
            return i;
    char **grown = realloc(*names, (*count + 1) * sizeof *grown);
    if (!grown)
        return UINT32_MAX;
    *names = grown;
    grown[*count] = strdup(name);
    return grown[*count] ? (*count)++ : UINT32_MAX;
}

static sb_image *add_image(builder *b)
{
    if (!b->split || b->index->count == b->room) {
        uint32_t room = b->room ? 2 * b->room : 64;
        sb_image *images = realloc(b->index->images, room * sizeof *images);
        if (images)
            b->index->images = images;
        int *split = images ? realloc(b->split, room * sizeof *split) : NULL;
        if (!split) {
            sb_fail("out of memory");
            return NULL;
        }
        b->split = split;
        b->room = room;
    }
    b->split[b->index->count] = 0;
    sb_image *image = &b->index->images[b->index->count++];
    *image = (sb_image){ .label = UINT32_MAX, .group = UINT32_MAX };
    return image;
}

/* Files that are not meant to be images are passed over without a word. */
static bool looks_like_image(const char *path)
{
    const char *suffixes[] = { "jpg", "jpeg", "jpe", "png", "tif", "tiff", "webp", "gif", "bmp", "ppm", "pgm", "jp2", "avif", "heic",
                               "heif", "jxl", "svs", "ndpi", "vms", "scn", "mrxs", "dds", "exr", "hdr", "v", "vips" };
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcasecmp(dot + 1, suffixes[i]) == 0)
            return true;
    return false;
}

/* One row a page. */
static int add_file(builder *b, sb_decoder *decoder, const char *path, const char *label)
{
    int width, height, pages;
    bool random_access;
    struct stat info;
    if (strpbrk(path, "\n\r"))
        return put(&b->skipped, "a file whose name holds a line break\n");
    if (sb_decoder_probe(decoder, path, &width, &height, &pages, &random_access) != 0 || stat(path, &info) != 0)
        return put(&b->skipped, "%s\n", sb_error());
    for (int page = 0; page < pages; page++) {
        sb_image *image = add_image(b);
        if (!image || !(image->path = strdup(path)))
            return sb_fail("out of memory");
        image->page = page;
        image->bytes = info.st_size;
        image->mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
        image->width = width;
        image->height = height;
        image->random_access = random_access;
        if (label && (image->label = number_of(&b->index->labels, &b->index->label_count, label)) == UINT32_MAX)
            return sb_fail("out of memory");
    }
    return 0;
}

/* ---- a folder ------------------------------------------------------------------------------------------------------------------------------ */

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
            rc = e->fts_level == 0 ? sb_fail("%s: %s", e->fts_path, strerror(e->fts_errno))
                                   : put(&b->skipped, "%s: %s\n", e->fts_path, strerror(e->fts_errno));
        } else if ((e->fts_info == FTS_F || e->fts_info == FTS_DEFAULT || e->fts_info == FTS_SLNONE) && looks_like_image(e->fts_name)) {
            if (*count == room) {
                room = room ? 2 * room : 256;
                char **grown = realloc(*out, room * sizeof *grown);
                if (!grown) {
                    rc = sb_fail("out of memory");
                    break;
                }
                *out = grown;
            }
            (*out)[*count] = strdup(e->fts_path);
            rc = (*out)[*count] ? 0 : sb_fail("out of memory");
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
        char label[NAME_MAX + 1] = "";
        if (labelled)
            snprintf(label, sizeof label, "%.*s", (int)strcspn(paths[i] + head + 1, "/"), paths[i] + head + 1);
        rc = add_file(b, decoder, paths[i], labelled ? label : NULL);
    }
    for (uint32_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
    return rc;
}

/* ---- CSV ------------------------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    const char *path;
    char *fields[COLUMNS_MAX];
    int field_count;
    int line;
    int header_count;
    char *header[COLUMNS_MAX];
    int (*on_row)(void *context);
    void *context;
    int rc;
} table;

static void on_field(void *data, size_t length, void *context)
{
    table *t = context;
    if (t->rc != 0)
        return;
    if (t->field_count == COLUMNS_MAX || (length > 0 && memchr(data, 0, length))) {
        t->rc = sb_fail("%s:%d: more than %d columns, or a zero byte", t->path, t->line, COLUMNS_MAX);
        return;
    }
    t->fields[t->field_count] = strndup(data ? data : "", length);
    t->rc = t->fields[t->field_count] ? 0 : sb_fail("out of memory");
    t->field_count += t->rc == 0;
}

static void on_line(int ending, void *context)
{
    table *t = context;
    (void)ending;
    if (t->rc == 0 && t->header_count == 0) {
        t->header_count = t->field_count;
        memcpy(t->header, t->fields, sizeof t->header);
        t->field_count = 0;
    } else if (t->rc == 0 && t->field_count != t->header_count) {
        t->rc = sb_fail("%s:%d: %d columns, the first line has %d", t->path, t->line, t->field_count, t->header_count);
    } else if (t->rc == 0) {
        t->rc = t->on_row(t->context);
    }
    for (int i = 0; i < t->field_count; i++)
        free(t->fields[i]);
    t->field_count = 0;
    t->line++;
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
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        free(data);
        return sb_fail("out of memory");
    }
    size_t skip = bytes >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0; /* a byte order mark */
    if (csv_parse(&parser, data + skip, bytes - skip, on_field, on_line, t) != bytes - skip || csv_fini(&parser, on_field, on_line, t) != 0)
        if (t->rc == 0)
            t->rc = sb_fail("%s:%d: not CSV: %s", path, t->line, csv_strerror(csv_error(&parser)));
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
        return sb_fail("%s:%d: %s = %s: must be a whole number from %lld to %lld", t->path, t->line, name, field, (long long)min,
                       (long long)max);
    *out = value;
    return 0;
}

/* ---- a manifest -------------------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    builder *build;
    sb_decoder *decoder;
    table table;
    char folder[PATH_MAX];
    int tile;
} manifest;

static int check_header(const table *t)
{
    const char *known[] = { "path", "left", "top", "label", "group", "split" };
    bool has_path = false;
    for (int i = 0; i < t->header_count; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found = found || strcmp(t->header[i], known[k]) == 0;
        if (!found)
            return sb_fail("%s:1: there is no column `%s`; there are path, left, top, label, group, split", t->path, t->header[i]);
        has_path = has_path || strcmp(t->header[i], "path") == 0;
    }
    return has_path ? 0 : sb_fail("%s:1: the column path is missing", t->path);
}

static int on_manifest_row(void *context)
{
    manifest *m = context;
    table *t = &m->table;
    builder *b = m->build;
    char path[PATH_MAX];
    if (t->line == 2 && check_header(t) != 0)
        return -1;
    const char *file = column(t, "path"), *label = column(t, "label"), *group = column(t, "group"), *split = column(t, "split");
    if (file[0] == '\0')
        return sb_fail("%s:%d: path is empty", t->path, t->line);
    if ((file[0] == '/' ? snprintf(path, sizeof path, "%s", file) : snprintf(path, sizeof path, "%s/%s", m->folder, file)) >= PATH_MAX)
        return sb_fail("%s:%d: the path is too long", t->path, t->line);
    uint32_t first = b->index->count;
    if (add_file(b, m->decoder, path, label && label[0] ? label : NULL) != 0)
        return -1;
    for (uint32_t i = first; i < b->index->count; i++) {
        sb_image *image = &b->index->images[i];
        if (column(t, "left") || column(t, "top")) {
            int64_t left, top;
            if (number(t, "left", 0, image->width - 1, &left) != 0 || number(t, "top", 0, image->height - 1, &top) != 0)
                return -1;
            image->placed = true;
            image->left = (int)left;
            image->top = (int)top;
        }
        if (group && group[0] && (image->group = number_of(&b->groups, &b->group_count, group)) == UINT32_MAX)
            return sb_fail("out of memory");
        if (split) {
            b->has_split = true;
            b->split[i] = strcmp(split, "test") == 0;
            if (!b->split[i] && strcmp(split, "train") != 0)
                return sb_fail("%s:%d: split = %s: must be train or test", t->path, t->line, split);
        }
    }
    return 0;
}

static int by_path(const void *a, const void *b)
{
    const sb_image *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    order = order ? order : x->page - y->page;
    order = order ? order : x->top - y->top;
    return order ? order : x->left - y->left;
}

static int scan_manifest(builder *b, sb_decoder *decoder, const char *path, int tile)
{
    manifest m = { .build = b, .decoder = decoder, .tile = tile, .table = { .on_row = on_manifest_row } };
    m.table.context = &m;
    snprintf(m.folder, sizeof m.folder, "%s", path);
    char *slash = strrchr(m.folder, '/');
    if (slash)
        *slash = '\0';
    else
        snprintf(m.folder, sizeof m.folder, ".");
    return read_table(&m.table, path);
}

/* ---- what is held out ------------------------------------------------------------------------------------------------------------------------------ */

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
    image->test = wide ? (sb_region){ side - strip, 0, strip, image->height } : (sb_region){ 0, side - strip, image->width, strip };
    return true;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

static void hold_out(builder *b, int tile)
{
    sb_index *x = b->index;
    bool strips = false;
    for (uint32_t i = 0; i < x->count; i++) {
        sb_image *image = &x->images[i];
        image->train = whole(image, tile);
        if (b->has_split || b->group_count >= GROUPS_FOR_SPLIT) {
            bool held = b->has_split ? b->split[i] : image->group != UINT32_MAX && image->group % GROUPS_FOR_SPLIT == GROUPS_FOR_SPLIT - 1;
            if (held) {
                image->test = image->train;
                image->train = (sb_region){ 0 };
            }
        } else {
            strips = cut_strip(image, tile) || strips;
        }
    }
    if (b->has_split || b->group_count >= GROUPS_FOR_SPLIT || strips || x->count < 10)
        return;
    /* Every row of a file goes the same way, so that no pixel is in both parts. */
    for (uint32_t i = 0; i < x->count; i++) {
        uint32_t mine = hash_of(strrchr(x->images[i].path, '/') ? strrchr(x->images[i].path, '/') : x->images[i].path);
        if (mine % 10 == 9) {
            x->images[i].test = x->images[i].train;
            x->images[i].train = (sb_region){ 0 };
        }
    }
}

static void count_tiles(sb_index *x, int tile)
{
    x->samples = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        sb_image *image = &x->images[i];
        uint32_t across = (uint32_t)(image->train.width / tile), down = (uint32_t)(image->train.height / tile);
        image->tiles = image->train.width == 0 ? 0 : image->placed || across * down == 0 ? 1 : across * down;
        x->samples += image->tiles;
    }
}

/* ---- the index ------------------------------------------------------------------------------------------------------------------------------------------ */

static void free_builder(builder *b)
{
    for (uint32_t i = 0; i < b->group_count; i++)
        free(b->groups[i]);
    free(b->groups);
    free(b->split);
}

int sb_index_scan(sb_index *out, const sb_config *config)
{
    *out = (sb_index){ .tile = config->data.tile };
    builder b = { .index = out };
    sb_decoder *decoder = NULL;
    struct stat info;
    int rc = stat(config->data.path, &info) != 0 ? sb_fail_errno("data.path = %s", config->data.path)
                                                 : sb_decoder_create(&decoder, config->data.channels, 0, config->data.untrusted);
    if (rc == 0)
        rc = S_ISDIR(info.st_mode) ? scan_folder(&b, decoder, config->data.path)
                                   : scan_manifest(&b, decoder, config->data.path, config->data.tile);
    sb_decoder_destroy(&decoder);
    if (rc == 0 && !b.has_split && out->count > 0)
        qsort(out->images, out->count, sizeof *out->images, by_path);
    if (rc == 0) {
        uint32_t next = b.group_count;
        hold_out(&b, out->tile);
        for (uint32_t i = 0; i < out->count; i++)
            if (out->images[i].group == UINT32_MAX) /* rows of one file are one group */
                out->images[i].group = i > 0 && strcmp(out->images[i].path, out->images[i - 1].path) == 0 ? out->images[i - 1].group : next++;
        count_tiles(out, out->tile);
        out->skipped = b.skipped.data ? b.skipped.data : strdup("");
        b.skipped.data = NULL;
    }
    if (rc == 0 && out->count == 0)
        rc = sb_fail("data.path = %s: no image that can be used%s%s", config->data.path, out->skipped[0] ? "; " : "", out->skipped);
    free(b.skipped.data);
    free_builder(&b);
    if (rc != 0)
        sb_index_free(out);
    return rc;
}

static int put_csv(text *t, const char *field)
{
    size_t length = strlen(field), room = 2 * length + 3;
    char *quoted = malloc(room);
    if (!quoted)
        return sb_fail("out of memory");
    size_t used = csv_write(quoted, room, field, length);
    int rc = put(t, "%.*s", (int)used, quoted);
    free(quoted);
    return rc;
}

static const char *const index_header = "path,page,bytes,mtime_ns,width,height,random_access,placed,left,top,label,group,"
                                        "train_left,train_top,train_width,train_height,test_left,test_top,test_width,test_height";

int sb_index_write(const sb_index *x, const char *run_dir)
{
    char path[PATH_MAX];
    text t = { 0 };
    int rc = put(&t, "%s\n", index_header);
    for (uint32_t i = 0; rc == 0 && i < x->count; i++) {
        const sb_image *m = &x->images[i];
        const sb_region *a = &m->train, *b = &m->test;
        rc = put_csv(&t, m->path);
        if (rc == 0)
            rc = put(&t, ",%d,%" PRId64 ",%" PRId64 ",%d,%d,%d,%d,%d,%d,", m->page, m->bytes, m->mtime_ns, m->width, m->height,
                     m->random_access, m->placed, m->left, m->top);
        if (rc == 0)
            rc = put_csv(&t, m->label == UINT32_MAX ? "" : x->labels[m->label]);
        if (rc == 0)
            rc = put(&t, ",%" PRIu32 ",%d,%d,%d,%d,%d,%d,%d,%d\n", m->group, a->left, a->top, a->width, a->height, b->left, b->top,
                     b->width, b->height);
    }
    if (rc == 0)
        rc = sb_rundir_path(path, run_dir, "index.csv");
    if (rc == 0)
        rc = sb_file_replace(path, t.data, t.used);
    free(t.data);
    return rc;
}

typedef struct {
    builder build;
    table table;
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
    bool fits = value[0] + value[2] <= image->width && value[1] + value[3] <= image->height;
    bool placed = image->placed && value[0] == image->left && value[1] == image->top && value[2] == tile && value[3] == tile;
    return fits || placed ? 0 : sb_fail("%s:%d: the %s region reaches outside the image", t->path, t->line, prefix);
}

static int on_frozen_row(void *context)
{
    frozen *f = context;
    const table *t = &f->table;
    sb_image *m = add_image(&f->build);
    int64_t page, width, height, random_access, placed, left, top, group;
    const char *path = column(t, "path"), *label = column(t, "label");
    if (!m || !path || !label)
        return m ? sb_fail("%s: the column path or label is missing", t->path) : -1;
    m->path = strdup(path);
    if (!m->path)
        return sb_fail("out of memory");
    if (number(t, "page", 0, INT_MAX, &page) != 0 || number(t, "bytes", 0, INT64_MAX, &m->bytes) != 0 ||
        number(t, "mtime_ns", INT64_MIN, INT64_MAX, &m->mtime_ns) != 0 || number(t, "width", 1, INT_MAX / 4, &width) != 0 ||
        number(t, "height", 1, INT_MAX / 4, &height) != 0 || number(t, "random_access", 0, 1, &random_access) != 0 ||
        number(t, "placed", 0, 1, &placed) != 0 || number(t, "left", 0, width - 1, &left) != 0 ||
        number(t, "top", 0, height - 1, &top) != 0 || number(t, "group", 0, UINT32_MAX - 1, &group) != 0)
        return -1;
    m->page = (int)page;
    m->width = (int)width;
    m->height = (int)height;
    m->random_access = random_access != 0;
    m->placed = placed != 0;
    m->left = (int)left;
    m->top = (int)top;
    m->group = (uint32_t)group;
    sb_index *x = f->build.index;
    if (label[0] && (m->label = number_of(&x->labels, &x->label_count, label)) == UINT32_MAX)
        return sb_fail("out of memory");
    return read_region(t, "train", m, x->tile, &m->train) != 0 || read_region(t, "test", m, x->tile, &m->test) != 0 ? -1 : 0;
}

int sb_index_read(sb_index *out, const char *run_dir, const sb_config *config)
{
    char path[PATH_MAX];
    *out = (sb_index){ .tile = config->data.tile };
    frozen f = { .build = { .index = out }, .table = { .on_row = on_frozen_row } };
    f.table.context = &f;
    int rc = sb_rundir_path(path, run_dir, "index.csv");
    if (rc == 0)
        rc = read_table(&f.table, path);
    if (rc == 0 && out->count == 0)
        rc = sb_fail("%s names no image", path);
    free_builder(&f.build);
    if (rc == 0) {
        count_tiles(out, out->tile);
        out->skipped = strdup("");
        rc = out->skipped ? 0 : sb_fail("out of memory");
    }
    if (rc != 0)
        sb_index_free(out);
    return rc;
}

int sb_index_changed(const sb_index *x)
{
    int changed = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_image *m = &x->images[i];
        struct stat info;
        bool there = stat(m->path, &info) == 0;
        if (there && info.st_size == m->bytes && (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec == m->mtime_ns)
            continue;
        sb_note("%s %s since the run began", m->path, there ? "was changed" : "has vanished");
        changed++;
    }
    return changed;
}

int sb_index_test_tiles(const sb_index *x, int max, sb_tile **out)
{
    int count = 0, tile = x->tile;
    *out = malloc((size_t)(max > 0 ? max : 1) * sizeof **out);
    if (!*out)
        return sb_fail("out of memory");
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_region *r = &x->images[i].test;
        bool small = r->width > 0 && (r->width < tile || r->height < tile); /* completed by mirroring */
        for (int top = 0; r->width > 0 && count < max && (top + tile <= r->height || (small && top == 0)); top += tile)
            for (int left = 0; count < max && (left + tile <= r->width || (small && left == 0)); left += tile)
                (*out)[count++] = (sb_tile){ .image = i, .left = r->left + left, .top = r->top + top };
    }
    return count;
}

static bool share_pixels(const sb_region *a, const sb_region *b)
{
    return a->width > 0 && b->width > 0 && a->left < b->left + b->width && b->left < a->left + a->width && a->top < b->top + b->height &&
           b->top < a->top + a->height;
}

/* Rows are compared with those of the same file and page, which lie together unless a manifest gives the split. */
int sb_index_check(const sb_index *x)
{
    for (uint32_t i = 0; i < x->count; i++) {
        const sb_image *a = &x->images[i];
        if (a->test.width == 0)
            continue;
        for (uint32_t j = 0; j < x->count; j++) {
            const sb_image *b = &x->images[j];
            if (share_pixels(&b->train, &a->test) && a->page == b->page && strcmp(a->path, b->path) == 0)
                return sb_fail("%s: pixels at (%d, %d) are both trained on and held out: give every tile of a file the same split or leave "
                               "room between them",
                               a->path, b->train.left, b->train.top);
        }
    }
    return 0;
}

void sb_index_free(sb_index *x)
{
    for (uint32_t i = 0; i < x->count; i++)
        free(x->images[i].path);
    for (uint32_t i = 0; i < x->label_count; i++)
        free(x->labels[i]);
    free(x->images);
    free(x->labels);
    free(x->skipped);
    *x = (sb_index){ 0 };
}
