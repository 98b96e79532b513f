/* decoder.h: tiles out of files, through libvips.
 *
 * Every image is turned upright and its samples become those that are trained on, 8 bits of each (samples.h).
 * A random-access image (tiled TIFF) is decoded straight into the given memory
 * and never whole: where decoding fails, only that tile cannot be used. Every other image is decoded whole
 * into the decoder's bounded cache before one of its tiles is delivered: where that fails, or warns of
 * what may matter (data.warnings), the whole image cannot be used. An image whose file or pixels are larger
 * than that cache cannot be used. A tile that reaches over the right or lower edge is completed by mirroring,
 * again and again, the part of it that is inside: it never shows a pixel outside its own square. One decoder
 * belongs to one thread.
 *
 * Files are read, never mapped (source.h), a file of one image at once, of a TIFF what is asked for. What a
 * call returns says whose fault a failure is, and sb_error says what: sb_decode_verdict. */
#ifndef SB_LOADER_READERS_DECODER_H
#define SB_LOADER_READERS_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/keys.h"
#include "loader/readers/levels.h"

typedef struct sb_decoder sb_decoder;

typedef enum {
    SB_DECODE_FAULT = -1, /* of the process: memory, descriptors */
    SB_DECODE_OK = 0,
    SB_DECODE_IMAGE = 1, /* the image cannot be used: damaged, changed, or of a kind that is not read */
    SB_DECODE_TILE = 2,  /* this tile cannot */
    SB_DECODE_AWAY = 3,  /* the file cannot be read now (it is not there, may not be opened, its disk fails):
                            that says nothing of what is in it */
} sb_decode_verdict;

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
    int64_t read_whole; /* bytes of the file, where decoding holds all of it; 0: it is read in parts (TIFF) */
} sb_decode_header;

/* What a page is, by what it and its file say: an image of its own, a smaller copy of another page (a level
 * of a pyramid), a mask, or a slide scanner's picture of the glass. */
typedef enum {
    SB_PAGE_IMAGE,
    SB_PAGE_REDUCED,
    SB_PAGE_MASK,
    SB_PAGE_THUMBNAIL,
    SB_PAGE_LABEL,
    SB_PAGE_MACRO,
    SB_PAGE_KINDS
} sb_page_kind;

typedef struct {
    sb_page_kind kind;
    int width, height;        /* upright; 0: it cannot be used, or is no image of its own */
    bool random_access, wide; /* as in sb_decode_header */
    int left_out;
    int64_t read_whole;
    char *reason; /* why it cannot be used, with the path, or what says that it is no image; else NULL */
} sb_decode_page;

/* The pages of a file; of what is no TIFF one. */
typedef struct {
    int64_t bytes, mtime_ns;
    sb_decode_page *pages;
    int count;
} sb_decode_pages;

/* "image", "reduced", "mask", "thumbnail", "label", "macro". */
const char *sb_page_kind_name(sb_page_kind kind);

/* Starts libvips with one thread, loaders marked untrusted blocked unless `untrusted`. cache_bytes: decoded
 * images kept. */
int sb_decoder_create(sb_decoder **out, const sb_samples_keys *samples, size_t cache_bytes, bool untrusted);
/* The largest image, and cache, where nobody says how large: an eighth of the memory that may be used in all,
 * by whomever, so that no other process' needs decide what is trained on. */
size_t sb_decoder_most(void);
/* Has another bound from now on: what is above it is given back to the system at once. */
void sb_decoder_bound(sb_decoder *decoder, size_t cache_bytes);
void sb_decoder_destroy(sb_decoder **decoder);

/* Is a read, or an open, of a file under way? A handler of signals may ask. */
bool sb_decoder_reads(const sb_decoder *decoder);

/* Reads the header of a page, whatever its kind, and no pixels. 0; 1: it cannot be used; 3; -1. */
int sb_decoder_probe(sb_decoder *decoder, const char *path, int page, sb_decode_header *out);

/* Reads the headers of all pages, in time that grows as their number. 0: *out is to be freed; a page that
 * cannot be used says why. 1: no page of the file can be looked at; 3; -1. */
int sb_decoder_pages(sb_decoder *decoder, const char *path, sb_decode_pages *out);
void sb_decode_pages_free(sb_decode_pages *pages);

/* Decodes a small tile in the middle of the image, to see whether that can be done. As sb_decoder_tile. */
int sb_decoder_try(sb_decoder *decoder, const sb_decode_source *source);

/* Takes samples of an image, before they are spread over a range, into *levels (levels.h). 0; 1; 3; -1. */
int sb_decoder_look(sb_decoder *decoder, const sb_decode_source *source, sb_levels *levels);

/* Writes the tile [side, side, channels] at (left, top). A verdict: 0; 1; 2; 3; -1. read_ns and decode_ns are
 * added to: the time in which the disk was waited for, and the rest. */
int sb_decoder_tile(sb_decoder *decoder, const sb_decode_source *source, int left, int top, int side,
                    uint8_t *out, uint64_t *read_ns, uint64_t *decode_ns);

#endif
