/* builder.h: an index while it is made: rows, and the numbers of labels, groups and values. Private to
 * loader/index. */
#ifndef SB_LOADER_INDEX_BUILDER_H
#define SB_LOADER_INDEX_BUILDER_H

#include <glib.h>

#include "loader/index/index.h"
#include "loader/index/spool.h"

typedef struct {
    sb_image image;
    bool held;     /* by the manifest's split */
    int line;      /* of the manifest; 0: none */
    uint32_t twin; /* the first row of a file of the same content that comes before; UINT32_MAX: none */
    bool wide;     /* as its page's header says, as do those below */
    int left_out;
    int64_t read_whole;
} sb_row;

typedef struct {
    sb_index *index;
    const char *source; /* data.path: for messages */
    sb_spool row_spool, name_spool;
    sb_row *rows; /* they move when one is added, as do names */
    const char *names;
    uint32_t count;
    char *columns[SB_GUIDES_MAX];      /* their names */
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

/* A row as another, of the same file. NULL: sb_error. */
sb_row *sb_builder_copy(sb_builder *builder, uint32_t row);

/* Its path, into out[PATH_MAX]; returns it. Are two rows of one file? */
const char *sb_builder_path(const sb_builder *builder, const sb_row *row, char *out);
bool sb_builder_same_file(const sb_builder *builder, const sb_row *x, const sb_row *y);

/* What a row says; "": nothing. */
void sb_builder_label(sb_builder *builder, sb_row *row, const char *label);
void sb_builder_group(sb_builder *builder, sb_row *row, const char *group);
void sb_builder_value(sb_builder *builder, sb_row *row, int column, const char *value);

/* Leaves a file, or a page of it, out, for the reason given, which names it. */
int sb_builder_skip(sb_builder *builder, const char *path, int page, const char *reason);

/* Passes over what is not meant to be an image, for a reason that names no file. */
int sb_builder_pass(sb_builder *builder, const char *path, const char *reason);

/* Takes rows of no width away. */
void sb_builder_drop(sb_builder *builder);

/* Sorts the rows: by name, page and place. */
int sb_builder_sort(sb_builder *builder);

/* Numbers labels, groups and values again, in the order of their first rows: the index does not depend on the
 * order in which a manifest has them. */
int sb_builder_number(sb_builder *builder);

/* Moves sorted rows into the index, counts, and checks; -1, too, if rc is. Frees the builder, and the index
 * with -1. */
int sb_builder_finish(sb_builder *builder, int rc);

/* Decides which part of every row is trained on, and which is held out (index.h). Works on sorted rows. */
void sb_hold_out(sb_builder *builder, int tile);

#endif
