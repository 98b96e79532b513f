/* picture.h: an index as a page of small pictures, since people would rather look. */
#ifndef SB_LOADER_INDEX_PICTURE_H
#define SB_LOADER_INDEX_PICTURE_H

#include "loader/index/index.h"

/* Writes a PNG file: what holds for all, and of up to 60 images, evenly spread (fewer where many large ones
 * would have to be decoded whole), the tile in the middle of what is trained on (or held out), as a network
 * would get it, with name, size, tiles, group, part, and the range of samples that are not 8 bits. data's
 * range is the one that is in force. In a process of its own, since a decoder may crash, or hang: one that
 * takes longer than `timeout` seconds for an image is killed. */
int sb_index_picture(const sb_index *index, const sb_data_keys *data, double timeout, const char *path);

#endif
