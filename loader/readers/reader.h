/* reader.h: the two ways to read an image, whole or tile by tile, and what they share. Private to
 * loader/readers. */
#ifndef SB_LOADER_READERS_READER_H
#define SB_LOADER_READERS_READER_H

#include <vips/vips.h>

#include "loader/readers/cache.h"
#include "loader/readers/decoder.h"
#include "loader/readers/pages.h"
#include "loader/readers/source.h"

struct sb_decoder {
    sb_samples_keys samples;
    sb_cache cache;
    sb_chains chains;
    sb_reading reading; /* of all files */
};

/* libvips' error buffer as our error, in one line. Returns 1. */
int sb_reader_fail(const char *path);

/* An image as it is stored, of a file that is no TIFF, in memory; of the only page that a TIFF's source
 * shows. Of the header alone, libvips reads no more than it needs. NULL: sb_error. */
VipsImage *sb_reader_open(const sb_samples_keys *samples, const char *path, const uint8_t *data,
                          size_t bytes);
VipsImage *sb_reader_open_tiff(const sb_samples_keys *samples, sb_source *source, VipsAccess access);

/* What libvips calls the loader of an image's file: "jpegload_buffer", "tiffload_source", ... */
const char *sb_reader_loader(VipsImage *image);

/* Makes an image that was opened what is trained on (samples.h), and checks its size against the source's.
 * from: of a TIFF, what shows its page. 0; 1: the image cannot be used, and *image stays to be freed. */
int sb_reader_normalise(const sb_samples_keys *samples, const sb_decode_source *source, sb_source *from,
                        VipsImage **image);

/* As sb_decoder_look, of a file that is open. */
int sb_reader_look(sb_decoder *decoder, const sb_decode_source *source, sb_source *from, sb_levels *levels);

/* As sb_decoder_tile, of a place inside the image: decoded whole into the cache; only the tile. */
int sb_whole_tile(sb_decoder *decoder, const sb_decode_source *source, int left, int top, int side,
                  uint8_t *out);
int sb_tiled_tile(sb_decoder *decoder, const sb_decode_source *source, int left, int top, int side,
                  uint8_t *out);

#endif
