/* picture.h: an index as a page of small pictures, since people would rather look. */
#ifndef SB_LOADER_INDEX_PICTURE_H
#define SB_LOADER_INDEX_PICTURE_H

#include "loader/index/index.h"

/* Writes a PNG file: of up to 60 images, evenly spread, the tile in the middle of what is trained on (or held
 * out), as a network would get it, with name, size, tiles and part. In a process of its own, since a decoder
 * may crash. */
int sb_index_picture(const sb_index *index, const sb_data_keys *data, const char *path);

#endif
