/* builder.h: an index while it is made: rows, and the numbers of labels, groups and values. Private to
 * loader/index. */
#ifndef SB_LOADER_INDEX_BUILDER_H
#define SB_LOADER_INDEX_BUILDER_H

#include <glib.h>

#include "loader/index/index.h"

typedef struct {
    sb_image image;
    bool held; /* by the manifest's split */
    int line;  /* of the manifest; 0: none */
    bool wide; /* as its page's header says */
    int left_out;
} sb_row;

typedef struct {
    sb_index *index;
    const char *source; /* data.path, or the file that is read: for messages */
    sb_row *rows;
    uint32_t count, room;
    GHashTable *values[SB_GUIDES_MAX]; /* of the index's columns: name to number */
    GHashTable *labels, *groups;       /* groups only where a manifest has them */
    bool has_split;
} sb_builder;

/* Keeps both pointers. */
sb_builder sb_builder_begin(sb_index *index, const char *source);

/* A column of the index that is to be. */
int sb_builder_column(sb_builder *builder, const char *name);

/* A new row of a path, with nothing known of it: the builder's, until the next. NULL: sb_error. */
sb_row *sb_builder_row(sb_builder *builder, const char *path);

/* What a row says; "": nothing. */
void sb_builder_label(sb_builder *builder, sb_row *row, const char *label);
void sb_builder_group(sb_builder *builder, sb_row *row, const char *group);
void sb_builder_value(sb_builder *builder, sb_row *row, int column, const char *value);

/* Leaves a file, or a page of it, out, for the reason given, which names it. */
int sb_builder_skip(sb_builder *builder, const char *path, int page, const char *reason);

/* Sorts the rows: by name, page and place. */
void sb_builder_sort(sb_builder *builder);

/* Numbers labels, groups and values again, in the order of their first rows: the index does not depend on the
 * order in which a manifest has them. */
int sb_builder_number(sb_builder *builder);

/* Moves sorted rows into the index, counts, and checks; -1, too, if rc is. Frees the builder, and the index
 * with -1. */
int sb_builder_finish(sb_builder *builder, int rc);

/* The order of rows; of their files alone, in which what lies below the root comes first, wherever that is.
 */
int sb_rows_compare(const sb_image *a, const sb_image *b);
int sb_rows_by_file(const sb_image *a, const sb_image *b);

/* The same file and page? */
bool sb_rows_same_page(const sb_image *a, const sb_image *b);

/* Decides which part of every row is trained on, and which is held out (index.h). Works on sorted rows. */
void sb_hold_out(sb_builder *builder, int tile);

#endif
