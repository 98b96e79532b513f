/* twins.c: files of the same content. They are kept, and always lie in the same part of the data: what is
 * held out is not trained on under another name. Only files of equal size are read: three places of each, and
 * all of those that agree. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/index/names.h"
#include "loader/index/scan.h"
#include "proto/error.h"
#include "proto/memory.h"

#define PLACE 4096 /* bytes of each place */
#define BLOCK ((size_t)1 << 20)
#define DIGEST 32

typedef struct {
    uint32_t first, count; /* rows */
    int64_t bytes;
    uint8_t digest[DIGEST];
} file;

static int by_content(const void *a, const void *b)
{
    const file *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    const int order = memcmp(x->digest, y->digest, DIGEST);
    return order ? order : x->first < y->first ? -1 : x->first > y->first;
}

static bool equal(const file *x, const file *y)
{
    return x->bytes == y->bytes && memcmp(x->digest, y->digest, DIGEST) == 0;
}

/* Adds up to `bytes` bytes from `at` on; false: they cannot be read. */
static bool digest_part(GChecksum *sum, int fd, int64_t at, int64_t bytes, uint8_t *buffer)
{
    while (bytes > 0) {
        const size_t most = bytes < (int64_t)BLOCK ? (size_t)bytes : BLOCK;
        const ssize_t n = pread(fd, buffer, most, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        g_checksum_update(sum, buffer, n);
        at += n;
        bytes -= n;
    }
    return true;
}

/* Of three places, or of all. One that cannot be read is like no other. */
static void digest_file(const char *path, file *f, bool whole, uint8_t *buffer)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize length = DIGEST;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool read = fd >= 0;
    if (read && whole)
        read = digest_part(sum, fd, 0, f->bytes, buffer);
    for (int64_t place = 0; read && !whole && place < 3; place++) {
        const int64_t last = f->bytes > PLACE ? f->bytes - PLACE : 0;
        read = digest_part(sum, fd, last * place / 2, PLACE, buffer);
    }
    if (!read)
        g_checksum_update(sum, (const guchar *)path, (gssize)strlen(path));
    g_checksum_get_digest(sum, f->digest, &length);
    g_checksum_free(sum);
    if (fd >= 0)
        close(fd);
}

/* Digests what has an equal before or behind it; the array is sorted, and is again. */
static void digest_equals(const sb_builder *b, file *files, uint32_t count, bool whole, uint8_t *buffer)
{
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && equal(&files[i], &files[end]);)
            end++;
        for (uint32_t k = i; end - i > 1 && k < end; k++) {
            char path[PATH_MAX];
            digest_file(sb_builder_path(b, &b->rows[files[k].first], path), &files[k], whole, buffer);
        }
    }
    qsort(files, count, sizeof *files, by_content);
}

static int note_pair(sb_builder *b, const sb_image *first, const sb_image *other)
{
    sb_index *x = b->index;
    if (x->twins++ > 0)
        return 0;
    x->twin_first = strdup(b->names + first->name);
    x->twin_other = strdup(b->names + other->name);
    return x->twin_first && x->twin_other ? 0 : sb_fail("out of memory for the names of equal files");
}

/* Of tiles that a manifest places, only those of the first file stay: tiles of two names could share pixels.
 */
static int pair(sb_builder *b, const file *first, const file *other)
{
    char path[PATH_MAX];
    int rc = note_pair(b, &b->rows[first->first].image, &b->rows[other->first].image);
    for (uint32_t k = 0; rc == 0 && k < other->count; k++) {
        sb_row *row = &b->rows[other->first + k];
        if (row->image.placed)
            row->image.width = 0;
        else if (k < first->count)
            row->twin = first->first + k;
    }
    if (rc == 0 && b->rows[other->first].image.placed)
        rc = sb_builder_pass(b, sb_builder_path(b, &b->rows[other->first], path),
                             "the content of another file, whose tiles are placed");
    return rc;
}

/* What one of them says of group and split, all do. */
static void agree(sb_builder *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        sb_row *row = &b->rows[i], *first = row->twin == UINT32_MAX ? NULL : &b->rows[row->twin];
        if (!first)
            continue;
        first->held = first->held || row->held;
        if (first->image.group == UINT32_MAX)
            first->image.group = row->image.group;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        sb_row *row = &b->rows[i];
        if (row->twin == UINT32_MAX)
            continue;
        row->held = b->rows[row->twin].held;
        row->image.group = b->rows[row->twin].image.group;
    }
}

int sb_scan_twins(sb_builder *b)
{
    sb_spool list = { 0 };
    file *files = sb_spool_add(&list, ((size_t)b->count + 1) * sizeof *files);
    uint8_t *buffer = sb_grown(NULL, BLOCK, 1, "reading files");
    uint32_t count = 0, original = 0;
    int rc = files && buffer ? 0 : -1;
    for (uint32_t i = 0; rc == 0 && i < b->count; i++) {
        if (i == 0 || !sb_builder_same_file(b, &b->rows[i], &b->rows[i - 1])) {
            files[count] = (file){ .first = i, .bytes = b->rows[i].image.bytes };
            count++;
        }
        files[count - 1].count++;
    }
    if (rc == 0) {
        qsort(files, count, sizeof *files, by_content);
        digest_equals(b, files, count, false, buffer);
        digest_equals(b, files, count, true, buffer);
    }
    for (uint32_t i = 1; rc == 0 && i < count; i++)
        if (equal(&files[i], &files[i - 1]))
            rc = pair(b, &files[original], &files[i]);
        else
            original = i;
    sb_spool_free(&list);
    free(buffer);
    if (rc == 0) {
        agree(b);
        sb_builder_drop(b); /* placed ones, which have no twins */
    }
    return rc;
}
