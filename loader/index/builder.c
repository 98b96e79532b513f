/* builder.c: see builder.h. */
#include "loader/index/builder.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "loader/index/names.h"
#include "proto/error.h"
#include "proto/memory.h"

#define SUFFIX_MAX 9
#define PASSED_MAX 40 /* kinds of files passed over that are told apart by suffix */

/* Its tables come first: finish frees them on every way out. */
sb_builder sb_builder_begin(sb_index *index, const char *source)
{
    return (sb_builder){ .index = index,
                         .source = source,
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

int sb_builder_column(sb_builder *b, const char *name)
{
    sb_index *x = b->index;
    if (x->column_count == SB_GUIDES_MAX)
        return sb_fail("more than %d columns that guide", SB_GUIDES_MAX);
    x->columns[x->column_count].name = strdup(name);
    b->values[x->column_count] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return x->columns[x->column_count++].name ? 0 : sb_fail("out of memory for a column's name");
}

sb_row *sb_builder_row(sb_builder *b, const char *path)
{
    if (b->count == b->room) {
        uint32_t room = b->room ? 2 * b->room : 64;
        sb_row *rows = sb_grown(b->rows, room, sizeof *rows, "the rows of the index");
        if (!rows)
            return NULL;
        b->rows = rows;
        b->room = room;
    }
    sb_row *r = &b->rows[b->count];
    *r = (sb_row){ .image = { .path = strdup(path),
                              .head = sb_names_head(b->index, path),
                              .label = UINT32_MAX,
                              .group = UINT32_MAX },
                   .twin = UINT32_MAX };
    memset(r->image.value, 0xff, sizeof r->image.value);
    if (!r->image.path) {
        sb_fail("out of memory for an image's path");
        return NULL;
    }
    b->count++;
    return r;
}

void sb_builder_label(sb_builder *b, sb_row *row, const char *label)
{
    row->image.label = label[0] ? number_of(b->labels, label) : UINT32_MAX;
}

void sb_builder_group(sb_builder *b, sb_row *row, const char *group)
{
    row->image.group = group[0] ? number_of(b->groups, group) : UINT32_MAX;
}

void sb_builder_value(sb_builder *b, sb_row *row, int column, const char *value)
{
    row->image.value[column] = value[0] ? number_of(b->values[column], value) : UINT32_MAX;
}

int sb_builder_skip(sb_builder *b, const char *path, int page, const char *reason)
{
    sb_index *x = b->index;
    sb_skipped *grown = sb_grown(x->skipped, x->skipped_count + 1, sizeof *grown,
                                 "the list of files left out");
    if (!grown)
        return -1;
    x->skipped = grown;
    sb_skipped *s = &grown[x->skipped_count];
    char name[PATH_MAX];
    sb_names_write(x, path, sb_names_head(x, path), name);
    *s = (sb_skipped){ .path = strdup(name), .reason = strdup(reason), .page = page };
    x->skipped_count++;
    if (!s->path || !s->reason)
        return sb_fail("out of memory for the path and the reason of a file left out");
    sb_text_clean(s->path);
    sb_text_clean(s->reason);
    return 0;
}

int sb_rows_by_file(const sb_image *x, const sb_image *y)
{
    const int outside = (x->head == 0) - (y->head == 0);
    return outside ? outside : strcmp(x->path, y->path);
}

int sb_rows_compare(const sb_image *x, const sb_image *y)
{
    int order = sb_rows_by_file(x, y);
    order = order ? order : x->page - y->page;
    order = order ? order : x->top - y->top;
    return order ? order : x->left - y->left;
}

static int by_path(const void *a, const void *b)
{
    return sb_rows_compare(&((const sb_row *)a)->image, &((const sb_row *)b)->image);
}

bool sb_rows_same_page(const sb_image *a, const sb_image *b)
{
    return a->page == b->page && strcmp(a->path, b->path) == 0;
}

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
        int order = i > 0 ? sb_rows_compare(a - 1, a) : -1;
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

/* ".txt" of a name; "" where it has none that is one. */
static const char *suffix_of(const char *name)
{
    const char *base = strrchr(name, '/'), *dot = strrchr(base ? base : name, '.');
    return dot && dot != base + 1 && dot != name && strlen(dot) <= SUFFIX_MAX ? dot : "";
}

int sb_builder_pass(sb_builder *b, const char *path, const char *reason)
{
    sb_index *x = b->index;
    char name[PATH_MAX];
    uint32_t i = 0;
    sb_names_write(x, path, sb_names_head(x, path), name);
    sb_text_clean(name);
    const char *suffix = x->passed_count < PASSED_MAX ? suffix_of(name) : "";
    while (i < x->passed_count &&
           (strcmp(x->passed[i].suffix, suffix) != 0 || strcmp(x->passed[i].reason, reason) != 0))
        i++;
    if (i < x->passed_count) {
        x->passed[i].count++;
        return 0;
    }
    sb_passed *grown = sb_grown(x->passed, i + 1, sizeof *grown, "the list of files passed over");
    if (!grown)
        return -1;
    x->passed = grown;
    x->passed[i] = (sb_passed){ strdup(suffix), strdup(reason), strdup(name), 1 };
    x->passed_count++;
    if (!x->passed[i].suffix || !x->passed[i].reason || !x->passed[i].first)
        return sb_fail("out of memory for the list of files passed over");
    sb_text_clean(x->passed[i].reason);
    return 0;
}

void sb_builder_drop(sb_builder *b)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < b->count; i++)
        if (b->rows[i].image.width > 0)
            b->rows[kept++] = b->rows[i];
        else
            free(b->rows[i].image.path);
    b->count = kept;
}

void sb_builder_sort(sb_builder *b)
{
    if (b->count > 0)
        qsort(b->rows, b->count, sizeof *b->rows, by_path);
}

/* A number for those that rows have, in the order of their first rows; "name to number" in `names` follows.
 * `at` is where a row has its number, in bytes of sb_image. */
static int renumber(sb_builder *b, GHashTable *names, size_t at)
{
    const uint32_t count = g_hash_table_size(names);
    uint32_t *fresh = sb_grown(NULL, (size_t)count + 1, sizeof *fresh, "the numbers of labels"), next = 0;
    GHashTableIter each;
    gpointer name, number;
    if (!fresh)
        return -1;
    memset(fresh, 0xff, ((size_t)count + 1) * sizeof *fresh);
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t *said = (uint32_t *)((char *)&b->rows[i].image + at);
        if (*said == UINT32_MAX)
            continue;
        if (fresh[*said] == UINT32_MAX)
            fresh[*said] = next++;
        *said = fresh[*said];
    }
    g_hash_table_iter_init(&each, names);
    while (g_hash_table_iter_next(&each, &name, &number))
        if (fresh[GPOINTER_TO_UINT(number)] == UINT32_MAX)
            g_hash_table_iter_remove(&each);
        else
            g_hash_table_iter_replace(&each, GUINT_TO_POINTER(fresh[GPOINTER_TO_UINT(number)]));
    free(fresh);
    return 0;
}

int sb_builder_number(sb_builder *b)
{
    int rc = renumber(b, b->labels, offsetof(sb_image, label));
    if (rc == 0)
        rc = renumber(b, b->groups, offsetof(sb_image, group));
    for (int k = 0; rc == 0 && k < b->index->column_count; k++)
        rc = renumber(b, b->values[k], offsetof(sb_image, value) + (size_t)k * sizeof(uint32_t));
    return rc;
}

/* A side that is shorter than a tile has one, completed by mirroring. */
static uint32_t tiles_along(const sb_index *x, int length)
{
    return length < x->tile ? 1 : (uint32_t)(length / x->tile);
}

int sb_builder_finish(sb_builder *b, int rc)
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
        image->file = i > 0 && sb_rows_same_page(image - 1, image) ? image[-1].file : i;
        if (image->group == UINT32_MAX && b->rows[i].twin != UINT32_MAX)
            image->group = x->images[b->rows[i].twin].group;
        if (image->group == UINT32_MAX) /* rows of one file are one group */
            image->group = i > 0 && strcmp(image->path, image[-1].path) == 0 ? image[-1].group : next++;
        image->tiles = image->train.width == 0 ? 0
                       : image->placed
                           ? 1
                           : tiles_along(x, image->train.width) * tiles_along(x, image->train.height);
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
    if (rc == 0 && x->images)
        rc = check(x);
    if (rc != 0)
        sb_index_free(x);
    return rc;
}
