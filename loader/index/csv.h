/* csv.h: a CSV table whose first line names its columns, row by row. CSV is libcsv's. Private to
 * loader/index. Errors name the file and the line. */
#ifndef SB_LOADER_INDEX_CSV_H
#define SB_LOADER_INDEX_CSV_H

#include <stdbool.h>
#include <stdint.h>

#define SB_TABLE_COLUMNS 32

typedef struct sb_table sb_table;
struct sb_table {
    /* set by the caller */
    int (*on_header)(const sb_table *table);
    int (*on_row)(void *context);
    void *context;
    /* as far as it is read */
    const char *path;
    char *header[SB_TABLE_COLUMNS], *fields[SB_TABLE_COLUMNS];
    int header_count, field_count;
    int line, breaks; /* where the row begins; line breaks inside its fields */
    bool after_return;
    int rc;
};

/* Reads the whole file, and calls on_header once and on_row for every row; the first that fails ends it. */
int sb_table_read(sb_table *table, const char *path);

bool sb_table_has(const sb_table *table, const char *column);

/* The field of a column in the current row, the table's until on_row returns; NULL: there is no such column.
 */
const char *sb_table_field(const sb_table *table, const char *column);

/* The whole number in a column of the current row. */
int sb_table_number(const sb_table *table, const char *column, int64_t min, int64_t max, int64_t *out);

#endif
