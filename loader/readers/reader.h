/* reader.h: the two ways to read an image, whole or tile by tile, and what they share. Private to
 * loader/readers. */
#ifndef SB_LOADER_READERS_READER_H
#define SB_LOADER_READERS_READER_H

#include <vips/vips.h>

#include "loader/readers/cache.h"
#include "loader/readers/decoder.h"

struct sb_decoder {
    int channels;
    sb_cache cache;
};

/* libvips' error buffer as our error, in one line. Returns -1. */
int sb_reader_fail(const char *path);

/* Page `page` of a file in memory, as it is stored. NULL: sb_error. */
VipsImage *sb_reader_open(const char *path, int page, const uint8_t *data, size_t bytes);

/* What libvips calls the loader of an image's file: "jpegload_buffer", "tiffload", ... */
const char *sb_reader_loader(VipsImage *image);

/* Makes an image that was opened what is trained on (samples.h), and checks its size against the source's.
 * 0; 1: the image cannot be used, and *image stays to be freed. */
int sb_reader_normalise(const sb_decoder *decoder, const sb_decode_source *source, VipsImage **image);

/* As sb_decoder_tile, of a place inside the image: decoded whole into the cache; only the tile. */
int sb_whole_tile(sb_decoder *decoder, const sb_decode_source *source, int left, int top, int side,
                  uint8_t *out, uint64_t *read_ns, uint64_t *decode_ns);
int sb_tiled_tile(sb_decoder *decoder, const sb_decode_source *source, int left, int top, int side,
                  uint8_t *out, uint64_t *decode_ns);

#endif
