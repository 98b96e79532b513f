/* csv.c: see csv.h. */
#include "loader/index/csv.h"

#include <csv.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/rundir.h"

#define FILE_BYTES_MAX ((size_t)1 << 40)
#define PIECE 65536

static void on_field(void *data, size_t length, void *context)
{
    sb_table *t = context;
    if (t->rc != 0)
        return;
    if (t->field_count == SB_TABLE_COLUMNS || (length > 0 && memchr(data, 0, length))) {
        t->rc = sb_fail("%s:%d: more than %d columns, or a zero byte", t->path, t->line, SB_TABLE_COLUMNS);
        return;
    }
    for (size_t i = 0; i < length; i++)
        t->breaks += ((const char *)data)[i] == '\n';
    t->fields[t->field_count] = strndup(data ? data : "", length);
    t->rc = t->fields[t->field_count] ? 0 : sb_fail("out of memory for a field of %s", t->path);
    t->field_count += t->rc == 0;
}

static int take_header(sb_table *t)
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
    sb_table *t = context;
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

/* Piece by piece: a manifest of ten million lines needs no more memory than one of ten. */
static void parse(sb_table *t, struct csv_parser *parser, FILE *in)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* of byte order, which some editors put in front */
    char piece[PIECE];
    size_t bytes = fread(piece, 1, sizeof mark - 1, in);
    size_t skip = bytes == sizeof mark - 1 && memcmp(piece, mark, bytes) == 0 ? bytes : 0;
    while (bytes > 0 && t->rc == 0) {
        if (csv_parse(parser, piece + skip, bytes - skip, on_field, on_line, t) != bytes - skip && t->rc == 0)
            t->rc = sb_fail("%s:%d: not CSV: %s", t->path, t->line, csv_strerror(csv_error(parser)));
        skip = 0;
        bytes = fread(piece, 1, sizeof piece, in);
    }
    if (t->rc == 0 && ferror(in))
        t->rc = sb_fail_errno("reading %s", t->path);
    if (csv_fini(parser, on_field, on_line, t) != 0 && t->rc == 0)
        t->rc = sb_fail("%s:%d: not CSV: %s", t->path, t->line, csv_strerror(csv_error(parser)));
}

int sb_table_read(sb_table *t, const char *path)
{
    size_t bytes;
    struct csv_parser parser;
    t->path = path;
    t->line = 1;
    const int fd = sb_file_open(path, FILE_BYTES_MAX, &bytes);
    if (fd < 0)
        return -1;
    FILE *in = fdopen(fd, "r");
    if (!in) {
        close(fd);
        return sb_fail_errno("reading %s", path);
    }
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0) {
        fclose(in);
        return sb_fail("out of memory for reading %s", path);
    }
    parse(t, &parser, in);
    if (t->rc == 0 && t->header_count == 0)
        t->rc = sb_fail("%s is empty: its first line names the columns", path);
    csv_free(&parser);
    fclose(in);
    for (int i = 0; i < t->field_count; i++)
        free(t->fields[i]);
    for (int i = 0; i < t->header_count; i++)
        free(t->header[i]);
    return t->rc;
}

const char *sb_table_field(const sb_table *t, const char *name)
{
    for (int i = 0; i < t->header_count; i++)
        if (strcmp(t->header[i], name) == 0)
            return t->fields[i];
    return NULL;
}

int sb_table_number(const sb_table *t, const char *name, int64_t min, int64_t max, int64_t *out)
{
    const char *field = sb_table_field(t, name);
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

bool sb_table_has(const sb_table *t, const char *name)
{
    int i = 0;
    while (i < t->header_count && strcmp(t->header[i], name) != 0)
        i++;
    return i < t->header_count;
}
