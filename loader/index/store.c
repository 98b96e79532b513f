/* store.c: index.bin of a run directory, which programs map, and index.csv, which people read.
 *
 * index.bin is the header below, the rows, where each text of a table begins (labels, then for each column
 * its name and its values), and the names. It is of the machine that made it: its numbers lie as they do in
 * memory. */
#include <csv.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "loader/index/index.h"
#include "loader/index/names.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"

#define GUIDE "guide." /* stands before the names of columns that guide */
#define BYTES_MAX ((size_t)1 << 44)
#define TEXTS_MAX (1u << 26)

_Static_assert(sizeof(sb_image) % 8 == 0, "rows lie in a file one behind another");

typedef struct {
    char magic[8];
    uint32_t order;     /* of the bytes of a number */
    uint32_t row_bytes; /* of a row */
    uint32_t tile, count, label_count, column_count;
    uint32_t value_count[SB_GUIDES_MAX];
    uint32_t relative, beside; /* sb_index: there is a root; beside */
    uint32_t largest, texts;   /* texts: how many of the tables there are in all */
    uint64_t samples, largest_pixels, largest_bytes, name_bytes;
    uint64_t body; /* crc32 of all below: who reads every row reads it, too */
    uint64_t sum;  /* crc32 of all above, and of where the texts begin */
} header;

static const char magic[8] = "sbindex";

static uint32_t count_texts(const header *h)
{
    uint64_t texts = h->label_count;
    for (uint32_t k = 0; k < h->column_count && k < SB_GUIDES_MAX; k++)
        texts += 1 + (uint64_t)h->value_count[k];
    return texts < TEXTS_MAX ? (uint32_t)texts : TEXTS_MAX;
}

static uint64_t sum_of(const header *h, const uint64_t *texts)
{
    const uLong head = crc32(0, (const Bytef *)h, offsetof(header, sum));
    return crc32_z(head, (const Bytef *)texts, h->texts * sizeof *texts);
}

static uint64_t body_of(const sb_index *x)
{
    const uLong rows = crc32_z(0, (const Bytef *)x->images, (size_t)x->count * sizeof *x->images);
    return crc32_z(rows, (const Bytef *)x->names, x->name_bytes);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static int write_binary(const sb_index *x, const char *run_dir)
{
    header h = { .order = 0x01020304,
                 .row_bytes = sizeof *x->images,
                 .tile = (uint32_t)x->tile,
                 .count = x->count,
                 .label_count = x->label_count,
                 .column_count = (uint32_t)x->column_count,
                 .relative = x->root != NULL,
                 .beside = x->beside,
                 .largest = x->largest,
                 .samples = x->samples,
                 .largest_pixels = x->largest_pixels,
                 .largest_bytes = x->largest_bytes,
                 .name_bytes = x->name_bytes,
                 .body = body_of(x) };
    char path[PATH_MAX];
    sb_new_file file;
    memcpy(h.magic, magic, sizeof magic);
    for (int k = 0; k < x->column_count; k++)
        h.value_count[k] = x->columns[k].count;
    h.texts = count_texts(&h);
    uint64_t *texts = sb_zeroed((size_t)h.texts + 1, sizeof *texts, "the texts of the index");
    if (!texts)
        return -1;
    uint32_t next = 0;
    for (uint32_t i = 0; i < x->label_count; i++)
        texts[next++] = (uint64_t)(x->labels[i] - x->names);
    for (int k = 0; k < x->column_count; k++) {
        texts[next++] = (uint64_t)(x->columns[k].name - x->names);
        for (uint32_t i = 0; i < x->columns[k].count; i++)
            texts[next++] = (uint64_t)(x->columns[k].values[i] - x->names);
    }
    h.sum = sum_of(&h, texts);
    int rc = sb_rundir_path(path, run_dir, "index.bin");
    if (rc == 0 && (rc = sb_new_file_begin(&file, path)) == 0) {
        rc = sb_new_file_write(&file, &h, sizeof h);
        if (rc == 0)
            rc = sb_new_file_write(&file, x->images, (size_t)x->count * sizeof *x->images);
        if (rc == 0)
            rc = sb_new_file_write(&file, texts, h.texts * sizeof *texts);
        if (rc == 0)
            rc = sb_new_file_write(&file, x->names, x->name_bytes);
        const int ended = sb_new_file_end(&file, rc == 0);
        rc = rc == 0 ? ended : rc;
    }
    free(texts);
    return rc;
}

static void print_row(FILE *out, const sb_index *x, const sb_image *m)
{
    const sb_region *a = &m->train, *b = &m->test;
    const char *label = m->label == UINT32_MAX ? "" : x->labels[m->label], *name = sb_index_name(x, m);
    csv_fwrite(out, name, strlen(name));
    fprintf(out, ",%d,%" PRId64 ",%" PRId64 ",%d,%d,%u,%u,%d,%d,", m->page, m->bytes, m->mtime_ns, m->width,
            m->height, m->random_access, m->placed, m->left, m->top);
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

static void print_table(FILE *out, const sb_index *x)
{
    fprintf(out, "path,page,bytes,mtime_ns,width,height,random_access,placed,left,top,label,group,train_left,"
                 "train_top,"
                 "train_width,train_height,test_left,test_top,test_width,test_height");
    for (int k = 0; k < x->column_count; k++) {
        char name[SB_GUIDE_COLUMN + sizeof GUIDE];
        const int length = snprintf(name, sizeof name, GUIDE "%s", x->columns[k].name);
        fprintf(out, ",");
        csv_fwrite(out, name, (size_t)length);
    }
    fprintf(out, "\n");
    for (uint32_t i = 0; i < x->count; i++)
        print_row(out, x, &x->images[i]);
}

static int write_table(const sb_index *x, const char *run_dir)
{
    char path[PATH_MAX];
    sb_new_file file;
    if (sb_rundir_path(path, run_dir, "index.csv") != 0 || sb_new_file_begin(&file, path) != 0)
        return -1;
    const int copy = dup(file.fd);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");
    int rc = out ? 0 : sb_fail_errno("writing %s", path);
    if (!out && copy >= 0)
        close(copy);
    if (out) {
        print_table(out, x);
        const bool failed = ferror(out) != 0;
        if (fclose(out) != 0 || failed)
            rc = sb_fail_errno("writing %s", path);
    }
    const int ended = sb_new_file_end(&file, rc == 0);
    return rc == 0 ? ended : rc;
}

int sb_index_write(const sb_index *x, const char *run_dir)
{
    return write_table(x, run_dir) == 0 ? write_binary(x, run_dir) : -1; /* the one that counts comes last */
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* What a header says of the length of its file; 0: it is none. */
static uint64_t length_of(const header *h)
{
    const bool known = memcmp(h->magic, magic, sizeof magic) == 0 && h->order == 0x01020304 &&
                       h->row_bytes == sizeof(sb_image) && h->column_count <= SB_GUIDES_MAX && h->count > 0 &&
                       h->texts == count_texts(h) && h->texts < TEXTS_MAX && h->largest < h->count &&
                       h->name_bytes > 0 && h->name_bytes < BYTES_MAX;
    return known ? sizeof *h + (uint64_t)h->count * sizeof(sb_image) + h->texts * sizeof(uint64_t) +
                       h->name_bytes
                 : 0;
}

static int read_texts(const char *names, const uint64_t *texts, uint32_t count, const char ***out)
{
    *out = sb_zeroed((size_t)count + 1, sizeof **out, "the texts of the index");
    for (uint32_t i = 0; *out && i < count; i++)
        (*out)[i] = names + texts[i];
    return *out ? 0 : -1;
}

static int take(sb_index *x, const header *h, const sb_data_keys *data)
{
    const sb_image *rows = (const sb_image *)(h + 1);
    const uint64_t *texts = (const uint64_t *)(rows + h->count);
    x->images = rows;
    x->count = h->count;
    x->names = (const char *)(texts + h->texts);
    x->name_bytes = h->name_bytes;
    x->samples = h->samples;
    x->largest = h->largest;
    x->largest_pixels = h->largest_pixels;
    x->largest_bytes = h->largest_bytes;
    if (x->names[h->name_bytes - 1] != '\0' || h->sum != sum_of(h, texts))
        return sb_fail("it is damaged");
    for (uint32_t i = 0; i < h->texts; i++)
        if (texts[i] >= h->name_bytes)
            return sb_fail("it is damaged");
    if (h->tile != (uint32_t)data->tile)
        return sb_fail("its tiles have %" PRIu32 " pixels, and data.tile = %d", h->tile, data->tile);
    if (h->relative && sb_names_root(x, data->path, h->beside != 0) != 0)
        return -1;
    x->label_count = h->label_count;
    int rc = read_texts(x->names, texts, h->label_count, &x->labels);
    texts += h->label_count;
    for (uint32_t k = 0; rc == 0 && k < h->column_count; k++) {
        sb_column *c = &x->columns[x->column_count++];
        c->name = x->names + *texts;
        c->count = h->value_count[k];
        rc = read_texts(x->names, texts + 1, c->count, &c->values);
        texts += 1 + c->count;
    }
    return rc;
}

int sb_index_open(sb_index *out, const char *run_dir, const sb_data_keys *data)
{
    char path[PATH_MAX];
    size_t bytes;
    *out = (sb_index){ .tile = data->tile };
    if (sb_rundir_path(path, run_dir, "index.bin") != 0)
        return -1;
    const int fd = sb_file_open(path, BYTES_MAX, &bytes);
    if (fd < 0)
        return -1;
    void *map = bytes >= sizeof(header) ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    int rc = map == MAP_FAILED ? bytes < sizeof(header) ? sb_fail("it is too short for an index")
                                                        : sb_fail_errno("mapping it")
             : length_of(map) != bytes
                 ? sb_fail("it is no index of this version and machine, or it is damaged")
                 : 0;
    close(fd);
    if (map != MAP_FAILED) {
        out->maps[0].data = map;
        out->maps[0].bytes = bytes;
    }
    if (rc == 0)
        rc = take(out, map, data);
    if (rc != 0) {
        sb_index_free(out);
        return sb_context("%s: `./run index %s --freeze` makes it again", path, run_dir);
    }
    return 0;
}

int sb_index_read(sb_index *out, const char *run_dir, const sb_data_keys *data)
{
    if (sb_index_open(out, run_dir, data) != 0)
        return -1;
    const header *h = out->maps[0].data;
    const int rc = h->body != body_of(out)
                       ? sb_fail("it is damaged: `./run index %s --freeze` makes it again", run_dir)
                       : sb_index_check(out);
    if (rc == 0)
        return 0;
    sb_index_free(out);
    return sb_context("%s/index.bin", run_dir);
}
