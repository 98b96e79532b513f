/* names.h: how the index calls a file, so that data may be moved. See index.h. Private to loader/index. */
#ifndef SB_LOADER_INDEX_NAMES_H
#define SB_LOADER_INDEX_NAMES_H

#include "loader/index/index.h"

/* Sets the folder of the data, as text alone: data that are away for a moment have the names that they always
 * had. beside: data_path is a manifest. */
int sb_names_root(sb_index *index, const char *data_path, bool beside);

/* How many bytes of a path are the root; 0: it is not below that. */
uint32_t sb_names_head(const sb_index *index, const char *path);

/* The name of a path, into out[PATH_MAX]. */
void sb_names_write(const sb_index *index, const char *path, uint32_t head, char *out);

/* Is this the name of a file beside a manifest? */
bool sb_names_beside(const char *name);

/* The path of a name of the index, into out[PATH_MAX], and its head. */
int sb_names_path(const sb_index *index, const char *name, char *out, uint32_t *head);

#endif
