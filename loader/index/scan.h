/* scan.h: the steps of sb_index_scan: who is named, and what they are. Private to loader/index. */
#ifndef SB_LOADER_INDEX_SCAN_H
#define SB_LOADER_INDEX_SCAN_H

#include "loader/index/builder.h"
#include "loader/index/prober.h"

/* Adds a row for every image file of a folder, or of every line of a manifest: names, and what is said of
 * them. */
int sb_scan_folder(sb_builder *builder, const sb_data_keys *data);
int sb_scan_manifest(sb_builder *builder, const sb_data_keys *data);

/* The first level of sub-folders gives labels if every image lies in one. */
void sb_scan_label(sb_builder *builder);

/* Is a name, below the root, left out by data.exclude? */
bool sb_scan_excluded(const sb_data_keys *data, const char *name);

/* Looks at each file of the rows, which are sorted, once: its size and its pages, of which each gets rows of
 * its own. Rows of files that are not used are taken away, and the file stands in `skipped` or `passed`. */
int sb_scan_look(sb_builder *builder, sb_prober *prober);

/* Finds files of the same content: `twin` of their rows, which are sorted. What they say of groups and of the
 * split becomes one. */
int sb_scan_twins(sb_builder *builder);

#endif
