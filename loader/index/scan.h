/* scan.h: the steps of sb_index_scan: who is named, and what they are. Private to loader/index. */
#ifndef SB_LOADER_INDEX_SCAN_H
#define SB_LOADER_INDEX_SCAN_H

#include "loader/index/builder.h"

/* Adds a row for every image file of a folder, or of every line of a manifest: names, and what is said of
 * them. */
int sb_scan_folder(sb_builder *builder, const sb_data_keys *data);
int sb_scan_manifest(sb_builder *builder, const sb_data_keys *data);

/* Looks at each file of the rows, which are sorted, once: its size and its pages, of which each gets rows of
 * its own. Rows of files that cannot be used are taken away, and the file stands in `skipped`. */
int sb_scan_look(sb_builder *builder, sb_decoder *decoder);

#endif
