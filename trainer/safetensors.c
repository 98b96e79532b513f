/* safetensors.c: see safetensors.h. The header is JSON (jansson); the checksum is zlib's. */
#include "trainer/safetensors.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"

#define HEADER_MAX 100000000u
#define FILE_BYTES_MAX (64ull << 30)

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [SB_TENSOR_F32] = { "F32", 4 },   [SB_TENSOR_I64] = { "I64", 8 }, [SB_TENSOR_F16] = { "F16", 2 },
    [SB_TENSOR_BF16] = { "BF16", 2 }, [SB_TENSOR_F64] = { "F64", 8 }, [SB_TENSOR_I32] = { "I32", 4 },
    [SB_TENSOR_U8] = { "U8", 1 },
};

const char *sb_tensor_describe(const sb_tensor *t, char out[SB_TENSOR_DESCRIBED])
{
    static const char *const said[] = { "f32", "i64", "f16", "bf16", "f64", "i32", "u8" };
    int used = snprintf(out, SB_TENSOR_DESCRIBED, "%s [", said[t->type]);
    for (int d = 0; d < t->dims; d++)
        used += snprintf(out + used, SB_TENSOR_DESCRIBED - (size_t)used, "%s%" PRId64, d ? ", " : "",
                         t->shape[d]);
    snprintf(out + used, SB_TENSOR_DESCRIBED - (size_t)used, "]");
    return out;
}

/* ---- write --------------------------------------------------------------------------------------------- */

/* Wide types first, so that every tensor stays aligned; then by name. */
static int by_alignment(const void *a, const void *b)
{
    const sb_tensor *x = *(const sb_tensor *const *)a, *y = *(const sb_tensor *const *)b;
    size_t p = types[x->type].bytes, q = types[y->type].bytes;
    return p != q ? (p < q) - (p > q) : strcmp(x->name, y->name);
}

static json_t *describe(const sb_tensor *t, size_t begin)
{
    json_t *shape = json_array();
    for (int d = 0; shape && d < t->dims; d++)
        json_array_append_new(shape, json_integer(t->shape[d]));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", types[t->type].name, "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)(begin + t->bytes));
}

static char *make_header(const sb_tensor *const *order, int count, const char *const *metadata, uint32_t crc)
{
    char text[16];
    json_t *root = json_object(), *meta = json_object();
    if (!root || !meta) {
        json_decref(root);
        json_decref(meta);
        return NULL;
    }
    int rc = 0;
    for (int i = 0; metadata && metadata[i]; i += 2)
        rc |= json_object_set_new(meta, metadata[i], json_string(metadata[i + 1]));
    snprintf(text, sizeof text, "%08" PRIx32, crc);
    rc |= json_object_set_new(meta, "crc32", json_string(text));
    rc |= json_object_set_new(root, "__metadata__", meta);
    size_t begin = 0;
    for (int i = 0; i < count; i++) {
        rc |= json_object_set_new(root, order[i]->name, describe(order[i], begin));
        begin += order[i]->bytes;
    }
    char *header = rc == 0 ? json_dumps(root, JSON_COMPACT) : NULL; /* jansson keeps the order of insertion */
    json_decref(root);
    return header;
}

/* The header as it stands in a file, with its length before it and spaces behind; malloc'ed. Its length does
 * not depend on the checksum. NULL: sb_error. */
static char *frame_header(const sb_tensor *const *order, int count, const char *const *metadata, uint32_t crc,
                          size_t *bytes)
{
    char *text = make_header(order, count, metadata, crc);
    if (!text) {
        sb_fail("a tensor's name or the metadata is not UTF-8, or memory is out");
        return NULL;
    }
    size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    uint64_t little = htole64(padded);
    char *framed = sb_grown(NULL, 8 + padded, 1, "the header of a file");
    if (framed) {
        memcpy(framed, &little, 8);
        memcpy(framed + 8, text, length);
        memset(framed + 8 + length, ' ', padded - length);
        *bytes = 8 + padded;
    }
    free(text);
    return framed;
}

/* The header: first without a checksum, which is not known before the data is written; then again, with it.
 */
static int write_header(sb_new_file *file, const sb_tensor *const *order, int count,
                        const char *const *metadata, const uLong *crc)
{
    size_t bytes;
    char *header = frame_header(order, count, metadata, crc ? (uint32_t)*crc : 0, &bytes);
    if (!header)
        return -1;
    int rc = crc ? sb_new_file_rewrite(file, 0, header, bytes) : sb_new_file_write(file, header, bytes);
    free(header);
    return rc;
}

static int write_data(sb_new_file *file, const sb_tensor *const *order, int count, sb_tensor_look look,
                      void *context, uLong *crc)
{
    for (int i = 0; i < count; i++) {
        for (size_t at = 0, n; at < order[i]->bytes; at += n) {
            n = order[i]->bytes - at < SB_TENSOR_PIECE ? order[i]->bytes - at : SB_TENSOR_PIECE;
            const void *piece = look(context, order[i], at, n);
            if (!piece)
                return sb_context("tensor %s", order[i]->name);
            *crc = crc32(*crc, piece, (uInt)n);
            if (sb_new_file_write(file, piece, n) != 0)
                return -1;
        }
    }
    return 0;
}

int sb_safetensors_write(const char *path, const sb_tensor *tensors, int count, const char *const *metadata,
                         sb_tensor_look look, void *context)
{
    const sb_tensor **order = sb_zeroed((size_t)count, sizeof *order, "the order of tensors");
    if (!order)
        return -1;
    for (int i = 0; i < count; i++)
        order[i] = &tensors[i];
    qsort(order, (size_t)count, sizeof *order, by_alignment);
    sb_new_file file;
    int rc = sb_new_file_begin(&file, path);
    if (rc == 0) {
        uLong crc = crc32(0, NULL, 0);
        if (write_header(&file, order, count, metadata, NULL) != 0 ||
            write_data(&file, order, count, look, context, &crc) != 0 ||
            write_header(&file, order, count, metadata, &crc) != 0)
            rc = sb_context("%s", path);
        if (sb_new_file_end(&file, rc == 0) != 0)
            rc = -1;
    }
    free(order);
    return rc;
}

/* ---- read ---------------------------------------------------------------------------------------------- */

/* data: the data section's first byte in the file. */
static int parse_tensor(sb_tensor *t, const char *name, json_t *object, size_t data, size_t data_bytes)
{
    *t = (sb_tensor){ 0 };
    if (snprintf(t->name, sizeof t->name, "%s", name) >= (int)sizeof t->name)
        return sb_fail("tensor name of %zu bytes, at most %d", strlen(name), SB_TENSOR_NAME - 1);
    const char *type = json_string_value(json_object_get(object, "dtype"));
    json_t *shape = json_object_get(object, "shape"), *offsets = json_object_get(object, "data_offsets");
    if (!type || !json_is_array(shape) || !json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !json_is_integer(json_array_get(offsets, 0)) || !json_is_integer(json_array_get(offsets, 1)))
        return sb_fail("tensor %s: dtype, shape or data_offsets is missing or of the wrong kind", name);
    size_t kind = 0, kinds = sizeof types / sizeof *types;
    while (kind < kinds && strcmp(types[kind].name, type) != 0)
        kind++;
    if (kind == kinds)
        return sb_fail("tensor %s: dtype %s is not known", name, type);
    t->type = (sb_tensor_type)kind;
    if (json_array_size(shape) > SB_TENSOR_DIMS)
        return sb_fail("tensor %s has %zu dimensions, at most %d", name, json_array_size(shape),
                       SB_TENSOR_DIMS);
    size_t count = 1;
    for (t->dims = 0; t->dims < (int)json_array_size(shape); t->dims++) {
        json_t *d = json_array_get(shape, (size_t)t->dims);
        json_int_t side = json_integer_value(d);
        if (!json_is_integer(d) || side < 0 || (side > 0 && count > FILE_BYTES_MAX / (size_t)side))
            return sb_fail("tensor %s: dimension %d is %lld", name, t->dims, (long long)side);
        t->shape[t->dims] = side;
        count *= (size_t)side;
    }
    json_int_t from = json_integer_value(json_array_get(offsets, 0)),
               to = json_integer_value(json_array_get(offsets, 1));
    t->bytes = count * types[kind].bytes;
    if (from < 0 || to < from || (size_t)to > data_bytes || (size_t)(to - from) != t->bytes)
        return sb_fail("tensor %s: data_offsets %lld to %lld do not hold its %zu bytes within the file's %zu",
                       name, (long long)from, (long long)to, t->bytes, data_bytes);
    t->begin = data + (size_t)from;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const sb_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int parse_metadata(sb_safetensors *out, json_t *object)
{
    if (object && !json_is_object(object))
        return sb_fail("__metadata__ is not an object");
    out->metadata = sb_zeroed(2 * json_object_size(object) + 1, sizeof *out->metadata,
                              "the metadata of a file");
    if (!out->metadata)
        return -1;
    const char *key;
    json_t *value;
    int n = 0;
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value))
            return sb_fail("__metadata__ %s is not a string", key);
        out->metadata[n++] = strdup(key);
        out->metadata[n++] = strdup(json_string_value(value));
        if (!out->metadata[n - 2] || !out->metadata[n - 1])
            return sb_fail("out of memory for the metadata of a file");
    }
    return 0;
}

static int parse_header(sb_safetensors *out, json_t *root, size_t data, size_t data_bytes)
{
    const char *name;
    json_t *object;
    out->tensors = sb_zeroed(json_object_size(root) + 1, sizeof *out->tensors,
                             "the list of a file's tensors");
    if (!out->tensors)
        return -1;
    if (parse_metadata(out, json_object_get(root, "__metadata__")) != 0)
        return -1;
    json_object_foreach(root, name, object)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        if (parse_tensor(&out->tensors[out->count], name, object, data, data_bytes) != 0)
            return -1;
        out->count++;
    }
    qsort(out->tensors, (size_t)out->count, sizeof *out->tensors, by_place);
    size_t end = data;
    for (int i = 0; i < out->count; i++) {
        if (out->tensors[i].begin != end)
            return sb_fail(
                "tensor %s does not begin where the one before ends: the data has a gap or an overlap",
                out->tensors[i].name);
        end += out->tensors[i].bytes;
    }
    if (end != data + data_bytes)
        return sb_fail("%zu bytes of data belong to no tensor", data + data_bytes - end);
    return 0;
}

static int read_at(int fd, size_t at, void *to, size_t bytes)
{
    while (bytes > 0) {
        ssize_t got = pread(fd, to, bytes, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sb_fail_errno("reading byte %zu", at);
        if (got == 0)
            return sb_fail("the file ends at byte %zu, which it did not when it was opened", at);
        to = (char *)to + got;
        at += (size_t)got;
        bytes -= (size_t)got;
    }
    return 0;
}

/* The data, against the checksum that the header says, if it says one. */
static int verify(const sb_safetensors *file, size_t data, size_t data_bytes)
{
    const char *stored = sb_safetensors_metadata(file, "crc32");
    if (!stored)
        return 0;
    size_t room = data_bytes < SB_TENSOR_PIECE ? data_bytes : SB_TENSOR_PIECE;
    char now[16], *piece = sb_grown(NULL, room, 1, "a piece of a file");
    int rc = piece ? 0 : -1;
    uLong crc = crc32(0, NULL, 0);
    for (size_t at = 0, n; rc == 0 && at < data_bytes; at += n) {
        n = data_bytes - at < room ? data_bytes - at : room;
        rc = read_at(file->fd, data + at, piece, n);
        if (rc == 0)
            crc = crc32(crc, (const Bytef *)piece, (uInt)n);
    }
    free(piece);
    snprintf(now, sizeof now, "%08" PRIx32, (uint32_t)crc);
    if (rc == 0 && strcmp(now, stored) != 0)
        return sb_fail("the data's checksum is %s, the header says %s: the file is damaged", now, stored);
    return rc;
}

/* The header's `length` bytes, and then all that it says. */
static int parse(sb_safetensors *out, const char *header, size_t length, size_t bytes)
{
    if (length == 0 || header[0] != '{')
        return sb_fail("the header does not begin with '{'");
    json_error_t error;
    json_t *root = json_loadb(header, length, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return sb_fail("the header is not JSON: %s", error.text);
    size_t data = 8 + length, data_bytes = bytes - data;
    int rc = json_is_object(root) ? parse_header(out, root, data, data_bytes)
                                  : sb_fail("the header is not an object");
    json_decref(root);
    return rc == 0 ? verify(out, data, data_bytes) : -1;
}

static int read_header(sb_safetensors *out, size_t bytes)
{
    uint64_t length;
    if (bytes < 8)
        return sb_fail("%zu bytes, too short for a header", bytes);
    if (read_at(out->fd, 0, &length, 8) != 0)
        return -1;
    length = le64toh(length);
    if (length > HEADER_MAX || length > bytes - 8)
        return sb_fail("the header should have %" PRIu64
                       " bytes, the file has %zu in all: cut off, or no safetensors file",
                       length, bytes);
    char *header = sb_grown(NULL, length, 1, "the header of a file");
    if (!header)
        return -1;
    int rc = read_at(out->fd, 8, header, length);
    if (rc == 0)
        rc = parse(out, header, length, bytes);
    free(header);
    return rc;
}

int sb_safetensors_open(sb_safetensors *out, const char *path)
{
    size_t bytes;
    *out = (sb_safetensors){ .fd = sb_file_open(path, FILE_BYTES_MAX, &bytes) };
    if (out->fd < 0)
        return -1;
    if (read_header(out, bytes) == 0)
        return 0;
    sb_safetensors_close(out);
    return sb_context("%s", path);
}

void sb_safetensors_close(sb_safetensors *f)
{
    for (int i = 0; f->metadata && f->metadata[i]; i++)
        free(f->metadata[i]);
    free(f->metadata);
    free(f->tensors);
    if (f->fd >= 0)
        close(f->fd);
    *f = (sb_safetensors){ .fd = -1 };
}

int sb_safetensors_read(const sb_safetensors *f, const sb_tensor *t, size_t at, void *to, size_t bytes)
{
    if (at > t->bytes || bytes > t->bytes - at)
        return sb_fail("tensor %s has %zu bytes, not %zu from %zu on", t->name, t->bytes, bytes, at);
    return read_at(f->fd, t->begin + at, to, bytes) == 0 ? 0 : sb_context("tensor %s", t->name);
}

const sb_tensor *sb_safetensors_find(const sb_safetensors *f, const char *name)
{
    for (int i = 0; i < f->count; i++)
        if (strcmp(f->tensors[i].name, name) == 0)
            return &f->tensors[i];
    return NULL;
}

const char *sb_safetensors_metadata(const sb_safetensors *f, const char *key)
{
    for (int i = 0; f->metadata && f->metadata[i]; i += 2)
        if (strcmp(f->metadata[i], key) == 0)
            return f->metadata[i + 1];
    return NULL;
}
