/* pages.h: the pages of a TIFF file, as libtiff tells them. Private to loader/readers. */
#ifndef SB_LOADER_READERS_PAGES_H
#define SB_LOADER_READERS_PAGES_H

#include <stddef.h>

/* Bytes of a tile of a page of a TIFF file; 0: it is not tiled. libvips does not tell. */
size_t sb_pages_tile_bytes(const char *path, int page);

#endif
