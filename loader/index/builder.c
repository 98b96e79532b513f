/* builder.c: see builder.h. */
#include "loader/index/builder.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
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

int sb_builder_column(sb_builder *b, const char *name)
{
    sb_index *x = b->index;
    if (x->column_count == SB_GUIDES_MAX)
        return sb_fail("more than %d columns that guide", SB_GUIDES_MAX);
    b->columns[x->column_count] = strdup(name);
    x->columns[x->column_count].name = b->columns[x->column_count];
    b->values[x->column_count] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return x->columns[x->column_count++].name ? 0 : sb_fail("out of memory for a column's name");
}

/* Where a text lies among the names. UINT64_MAX: sb_error. */
static uint64_t add_text(sb_spool *names, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *at = sb_spool_add(names, bytes);
    if (!at)
        return UINT64_MAX;
    memcpy(at, text, bytes);
    return names->bytes - bytes;
}

static sb_row *add_row(sb_builder *b)
{
    sb_row *row = b->count < UINT32_MAX - 1 ? sb_spool_add(&b->row_spool, sizeof *row) : NULL;
    if (!row) {
        if (b->count >= UINT32_MAX - 1)
            sb_fail("more than %" PRIu32 " rows in an index", UINT32_MAX - 1);
        return NULL;
    }
    b->rows = b->row_spool.data;
    b->count++;
    return row;
}

sb_row *sb_builder_row(sb_builder *b, const char *path)
{
    char name[PATH_MAX];
    sb_names_of(b->index, path, name);
    uint64_t at = b->count > 0 ? b->rows[b->count - 1].image.name : UINT64_MAX;
    if (b->count == 0 || strcmp(b->names + at, name) != 0)
        at = add_text(&b->name_spool, name);
    b->names = b->name_spool.data;
    sb_row *row = at == UINT64_MAX ? NULL : add_row(b);
    if (!row)
        return NULL;
    *row = (sb_row){ .image = { .name = at, .label = UINT32_MAX, .group = UINT32_MAX }, .twin = UINT32_MAX };
    memset(row->image.value, 0xff, sizeof row->image.value);
    return row;
}

sb_row *sb_builder_copy(sb_builder *b, uint32_t of)
{
    sb_row *row = add_row(b);
    if (row)
        *row = b->rows[of];
    return row;
}

const char *sb_builder_path(const sb_builder *b, const sb_row *row, char *out)
{
    if (sb_index_path(b->index, b->names + row->image.name, out) != 0)
        snprintf(out, PATH_MAX, "%s", b->names + row->image.name);
    return out;
}

bool sb_builder_same_file(const sb_builder *b, const sb_row *x, const sb_row *y)
{
    return x->image.name == y->image.name || strcmp(b->names + x->image.name, b->names + y->image.name) == 0;
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
    sb_names_of(x, path, name);
    *s = (sb_skipped){ .path = strdup(name), .reason = strdup(reason), .page = page };
    x->skipped_count++;
    if (!s->path || !s->reason)
        return sb_fail("out of memory for the path and the reason of a file left out");
    sb_text_clean(s->path);
    sb_text_clean(s->reason);
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
    sb_names_of(x, path, name);
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
    b->count = kept;
    b->row_spool.bytes = (size_t)kept * sizeof *b->rows;
}

static int by_place(const void *a, const void *b, void *context)
{
    const sb_builder *builder = context;
    const sb_image *x = &builder->rows[*(const uint32_t *)a].image,
                   *y = &builder->rows[*(const uint32_t *)b].image;
    int order = x->name == y->name ? 0 : strcmp(builder->names + x->name, builder->names + y->name);
    order = order ? order : x->page - y->page;
    order = order ? order : x->top - y->top;
    return order ? order : x->left - y->left;
}

static bool is_sorted(sb_builder *b)
{
    for (uint32_t i = 1; i < b->count; i++) {
        const uint32_t before = i - 1;
        if (by_place(&before, &i, b) > 0)
            return false;
    }
    return true;
}

/* By their numbers, since a row is long: then each is moved once, in cycles. qsort_r takes memory of its own,
 * so what is sorted already is left alone. */
int sb_builder_sort(sb_builder *b)
{
    sb_spool order = { 0 };
    if (is_sorted(b))
        return 0;
    uint32_t *from = sb_spool_add(&order, (size_t)b->count * sizeof *from);
    if (!from)
        return -1;
    for (uint32_t i = 0; i < b->count; i++)
        from[i] = i;
    qsort_r(from, b->count, sizeof *from, by_place, b);
    for (uint32_t i = 0; i < b->count; i++) {
        if (from[i] == i)
            continue;
        const sb_row first = b->rows[i];
        uint32_t to = i;
        for (uint32_t next = from[to]; next != i; next = from[to]) {
            b->rows[to] = b->rows[next];
            from[to] = to;
            to = next;
        }
        b->rows[to] = first;
        from[to] = to;
    }
    sb_spool_free(&order);
    return 0;
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

/* Row i, whose rows before are there already, and its name among the index's. */
static int move_row(sb_builder *b, uint32_t i, sb_image *images, sb_spool *names, uint32_t *next_group)
{
    sb_index *x = b->index;
    const sb_row *row = &b->rows[i], *before = i > 0 ? row - 1 : NULL;
    const bool same_file = before && sb_builder_same_file(b, before, row);
    sb_image *image = &images[i];
    *image = row->image;
    image->name = same_file ? images[i - 1].name : add_text(names, b->names + row->image.name);
    image->file = same_file && before->image.page == image->page ? images[i - 1].file : i;
    if (image->group == UINT32_MAX && row->twin != UINT32_MAX)
        image->group = images[row->twin].group;
    if (image->group == UINT32_MAX) /* rows of one file are one group */
        image->group = same_file ? images[i - 1].group : (*next_group)++;
    image->tiles = sb_image_tiles(image, x->tile);
    x->samples += image->tiles;
    const uint64_t pixels = (uint64_t)image->width * (uint64_t)image->height;
    if (!image->random_access && pixels > x->largest_pixels) {
        x->largest_pixels = pixels;
        x->largest = i;
    }
    if ((uint64_t)row->read_whole > x->largest_bytes)
        x->largest_bytes = (uint64_t)row->read_whole;
    return image->name == UINT64_MAX ? -1 : 0;
}

/* Texts of a table, in the order of their numbers. out: an array, of where they lie. */
static int move_texts(GHashTable *numbers, sb_spool *names, const char ***out, uint32_t *count)
{
    GHashTableIter each;
    gpointer name, number;
    const uint32_t all = g_hash_table_size(numbers);
    *out = sb_zeroed((size_t)all + 1, sizeof **out, "the list of labels");
    if (!*out)
        return -1;
    g_hash_table_iter_init(&each, numbers);
    while (g_hash_table_iter_next(&each, &name, &number)) {
        const uint64_t at = add_text(names, name);
        if (at == UINT64_MAX)
            return -1;
        (*out)[GPOINTER_TO_UINT(number)] = (const char *)(uintptr_t)
            at; /* until the names stay where they are */
    }
    *count = all;
    return 0;
}

static void place_texts(const char *names, const char **texts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        texts[i] = names + (uintptr_t)texts[i];
}

static int move_all(sb_builder *b, sb_spool *images, sb_spool *names)
{
    sb_index *x = b->index;
    uint32_t next_group = g_hash_table_size(b->groups);
    if (b->count == 0 || !sb_spool_add(images, (size_t)b->count * sizeof *x->images))
        return b->count == 0 ? sb_fail("%s names no image", b->source) : -1;
    for (uint32_t i = 0; i < b->count; i++)
        if (move_row(b, i, images->data, names, &next_group) != 0)
            return -1;
    uint64_t columns[SB_GUIDES_MAX];
    int rc = move_texts(b->labels, names, &x->labels, &x->label_count);
    for (int k = 0; rc == 0 && k < x->column_count; k++) {
        columns[k] = add_text(names, b->columns[k]);
        rc = columns[k] == UINT64_MAX
                 ? -1
                 : move_texts(b->values[k], names, &x->columns[k].values, &x->columns[k].count);
    }
    if (rc != 0)
        return -1;
    x->images = images->data;
    x->count = b->count;
    x->names = names->data;
    x->name_bytes = names->bytes;
    place_texts(x->names, x->labels, x->label_count);
    for (int k = 0; k < x->column_count; k++) {
        x->columns[k].name = x->names + columns[k];
        place_texts(x->names, x->columns[k].values, x->columns[k].count);
    }
    return 0;
}

int sb_builder_finish(sb_builder *b, int rc)
{
    sb_index *x = b->index;
    sb_spool images = { 0 }, names = { 0 };
    if (rc == 0)
        rc = move_all(b, &images, &names);
    sb_spool_keep(&images);
    sb_spool_keep(&names);
    x->maps[0].data = images.data;
    x->maps[0].bytes = images.room;
    x->maps[1].data = names.data;
    x->maps[1].bytes = names.room;
    for (int k = 0; k < x->column_count; k++) {
        g_hash_table_destroy(b->values[k]);
        free(b->columns[k]);
    }
    g_hash_table_destroy(b->labels);
    g_hash_table_destroy(b->groups);
    sb_spool_free(&b->row_spool);
    sb_spool_free(&b->name_spool);
    if (rc == 0)
        rc = sb_index_check(x);
    if (rc != 0)
        sb_index_free(x);
    return rc;
}
