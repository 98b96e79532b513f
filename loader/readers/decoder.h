/* decoder.h: tiles out of files, through libvips.
 *
 * Every image is turned upright and its samples become those that are trained on, 8 bits of each (samples.h).
 * A random-access image (tiled TIFF) is decoded straight into the given memory
 * and never whole: where decoding fails, only that tile cannot be used. Every other image is decoded whole
 * into the decoder's bounded cache before one of its tiles is delivered: where that fails, or warns of
 * what may matter (data.warnings), the whole image cannot be used. An image whose file or pixels are larger
 * than that cache cannot be used. A tile that reaches over the right or lower edge is completed by mirroring,
 * again and again, the part of it that is inside: it never shows a pixel outside its own square. One decoder
 * belongs to one thread. */
#ifndef SB_LOADER_READERS_DECODER_H
#define SB_LOADER_READERS_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/keys.h"
#include "loader/readers/levels.h"

typedef struct sb_decoder sb_decoder;

typedef struct {
    const char *path;
    int page;
    int64_t bytes; /* of the file, as indexed; a file of another size, in bytes or pixels, is a failure */
    int width, height;
    bool random_access;
} sb_decode_source;

/* What an index needs to know of a page of a file. */
typedef struct {
    int width, height; /* upright */
    int pages;         /* of the file; 1 for an animation */
    int64_t bytes, mtime_ns;
    bool random_access; /* tiles decode without the whole image */
    bool wide;          /* samples are not 8 bits: their range is a question (sb_decoder_look) */
    int left_out;       /* samples of a pixel of which the file does not say what they are, and not used */
} sb_decode_header;

/* Starts libvips with one thread, loaders marked untrusted blocked unless `untrusted`. cache_bytes: decoded
 * images kept. */
int sb_decoder_create(sb_decoder **out, const sb_samples_keys *samples, size_t cache_bytes, bool untrusted);
/* The largest image, and cache, where nobody says how large: an eighth of the memory that may be used in all,
 * by whomever, so that no other process' needs decide what is trained on. */
size_t sb_decoder_most(void);
/* Has another bound from now on: what is above it is given back to the system at once. */
void sb_decoder_bound(sb_decoder *decoder, size_t cache_bytes);
void sb_decoder_destroy(sb_decoder **decoder);

/* Reads the header of a page, no pixels. -1: the file cannot be used. */
int sb_decoder_probe(sb_decoder *decoder, const char *path, int page, sb_decode_header *out);

/* Takes samples of an image, before they are spread over a range, into *levels (levels.h). 0; 1: the image
 * cannot be used; -1: a fault of the process. */
int sb_decoder_look(sb_decoder *decoder, const sb_decode_source *source, sb_levels *levels);

/* Writes the tile [side, side, channels] at (left, top). 0; 1: the image cannot be used (sb_error says why);
 * 2: this tile cannot; -1: a fault of the process (memory, descriptors). read_ns and decode_ns are added to;
 * read_ns as soon as the file is in memory, before it is decoded. */
int sb_decoder_tile(sb_decoder *decoder, const sb_decode_source *source, int left, int top, int side,
                    uint8_t *out, uint64_t *read_ns, uint64_t *decode_ns);

#endif
