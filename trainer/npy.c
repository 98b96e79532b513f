/* npy.c: see npy.h. */
#include "trainer/npy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"

#define MAGIC "\x93NUMPY"
#define PREFIX 10      /* bytes before the text: magic, version 1.0, the text's length */
#define TEXT_MOST 4096 /* of a header that is read */
#define COUNT_MOST (1ll << 40)

static const struct {
    const char *descr, *name;
    size_t bytes;
} kinds[SB_NPY_KINDS] = { { "<f4", "float32", 4 }, { "<i4", "int32", 4 } };

int sb_npy_header(char out[SB_NPY_HEADER], const sb_npy *array)
{
    char sides[96] = "";
    size_t used = 0;
    for (int d = 0; d < array->dims; d++)
        used += (size_t)snprintf(sides + used, sizeof sides - used, "%" PRId64 ",%s", array->side[d],
                                 d + 1 < array->dims ? " " : "");
    memset(out, ' ', SB_NPY_HEADER);
    memcpy(out, MAGIC "\x01\x00", 8);
    out[8] = (char)(SB_NPY_HEADER - PREFIX);
    out[9] = 0;
    const int length = snprintf(out + PREFIX, SB_NPY_HEADER - PREFIX,
                                "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                                kinds[array->kind].descr, sides);
    if (length >= SB_NPY_HEADER - PREFIX)
        return sb_fail("an array of %d dimensions: its header is too long", array->dims);
    out[PREFIX + length] = ' ';
    out[SB_NPY_HEADER - 1] = '\n';
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* The text behind "'key':" in a header; NULL: there is no such key. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at)
        return NULL;
    at += strlen(key);
    return at + strspn(at, " ");
}

/* "(33, 128)" into sides. */
static int read_shape(sb_npy *out, const char *text)
{
    bool closed = false;
    out->count = 1;
    if (!text || *text++ != '(')
        return -1;
    for (; !closed; text += strspn(text, ", ")) {
        if (*text == ')') {
            closed = true;
            continue;
        }
        char *end;
        errno = 0;
        const long long side = strtoll(text, &end, 10);
        if (errno || end == text || side < 0 || out->dims == SB_NPY_DIMS || (*end != ',' && *end != ')') ||
            (side > 0 && (long long)out->count > COUNT_MOST / side))
            return -1;
        out->side[out->dims++] = side;
        out->count *= (size_t)side;
        text = end;
    }
    return 0;
}

static int read_header(sb_npy *out, FILE *f, const char *path, sb_npy_kind kind)
{
    unsigned char prefix[PREFIX] = { 0 };
    char text[TEXT_MOST + 1];
    size_t length = 0;
    if (fread(prefix, sizeof prefix, 1, f) == 1)
        length = prefix[8] | (size_t)prefix[9] << 8;
    if (memcmp(prefix, MAGIC "\x01\x00", 8) != 0 || length == 0 || length > TEXT_MOST ||
        fread(text, length, 1, f) != 1)
        return sb_fail("%s is no array in numpy's format 1.0 (numpy.save)", path);
    text[length] = '\0';
    const char *descr = value_of(text, "'descr':"), *order = value_of(text, "'fortran_order':");
    const char *wanted = kinds[kind].descr;
    const bool fits = descr && descr[0] == '\'' && strncmp(descr + 1, wanted, 3) == 0 && descr[4] == '\'';
    if (!fits)
        return sb_fail("%s holds no %s: save it as x.astype(numpy.%s)", path, kinds[kind].name,
                       kinds[kind].name);
    if (!order || strncmp(order, "False", 5) != 0)
        return sb_fail("%s has its columns first: save it as numpy.ascontiguousarray(x)", path);
    *out = (sb_npy){ .kind = kind };
    if (read_shape(out, value_of(text, "'shape':")) != 0)
        return sb_fail("%s: a shape of at most %d sides was expected", path, SB_NPY_DIMS);
    return 0;
}

static int read_values(sb_npy *out, FILE *f, const char *path)
{
    out->values = sb_zeroed(out->count > 0 ? out->count : 1, kinds[out->kind].bytes, path);
    if (!out->values)
        return -1;
    if (fread(out->values, kinds[out->kind].bytes, out->count, f) == out->count && fgetc(f) == EOF)
        return 0;
    free(out->values);
    out->values = NULL;
    return sb_fail("%s is not as long as its shape says", path);
}

int sb_npy_read(sb_npy *out, const char *path, sb_npy_kind kind)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return sb_fail_errno("opening %s", path);
    int rc = read_header(out, f, path, kind) != 0 || read_values(out, f, path) != 0 ? -1 : 0;
    fclose(f);
    return rc;
}

int sb_npy_write(const char *path, const sb_npy *array)
{
    const size_t bytes = array->count * kinds[array->kind].bytes;
    char *file = sb_zeroed(SB_NPY_HEADER + bytes, 1, path);
    if (!file)
        return -1;
    int rc = sb_npy_header(file, array);
    if (rc == 0) {
        if (bytes > 0)
            memcpy(file + SB_NPY_HEADER, array->values, bytes);
        rc = sb_file_replace(path, file, SB_NPY_HEADER + bytes);
    }
    free(file);
    return rc;
}
