/* decode.h: tiles out of files, through libvips.
 *
 * Every image is brought upright, to 8-bit sRGB (or grey if channels = 1), alpha flattened on white. Random-access images (tiled
 * TIFF) decode straight into the given memory and never whole: the unit of failure is the tile. All others are decoded whole into the
 * decoder's bounded cache, any warning being a failure (fail_on = warning), before one of their tiles is delivered: the unit of
 * failure is the image. A tile that reaches over the right or lower edge (images smaller than a tile) is completed by
 * mirroring the image. One decoder belongs to one thread. */
#ifndef SB_LOADER_DECODE_H
#define SB_LOADER_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sb_decoder sb_decoder;

typedef struct {
    const char *path;
    int page;
    int width, height; /* as indexed; another size is a failure */
    bool random_access;
} sb_decode_source;

/* Starts libvips with one thread, loaders marked untrusted blocked unless `untrusted`. cache_bytes: decoded images kept. */
int sb_decoder_create(sb_decoder **out, int channels, size_t cache_bytes, bool untrusted);
void sb_decoder_destroy(sb_decoder **decoder);

/* What an index needs to know of a file: upright size, pages, whether tiles decode alone. Reads headers only. */
int sb_decoder_probe(sb_decoder *decoder, const char *path, int *width, int *height, int *pages, bool *random_access);

/* Writes the tile [side, side, channels] at (left, top). 0; 1: the image cannot be used (sb_error says why); 2: this tile cannot;
 * -1: a fault of the process (memory). read_ns and decode_ns are added to. */
int sb_decoder_tile(sb_decoder *decoder, const sb_decode_source *source, int left, int top, int side, uint8_t *out,
                    uint64_t *read_ns, uint64_t *decode_ns);

#endif
