/* names.h: how the index calls a file, so that data may be moved. See index.h. Private to loader/index. */
#ifndef SB_LOADER_INDEX_NAMES_H
#define SB_LOADER_INDEX_NAMES_H

#include "loader/index/index.h"

/* Sets the folder of the data, as text alone: data that are away for a moment have the names that they always
 * had. beside: data_path is a manifest. */
int sb_names_root(sb_index *index, const char *data_path, bool beside);

/* The name of a path, into out[PATH_MAX]. */
void sb_names_of(const sb_index *index, const char *path, char *out);

#endif
