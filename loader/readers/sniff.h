/* sniff.h: what a file is by its first bytes, whatever its name says. */
#ifndef SB_LOADER_READERS_SNIFF_H
#define SB_LOADER_READERS_SNIFF_H

#include <stdbool.h>

typedef enum {
    SB_SNIFF_NONE,     /* nothing that libvips knows as an image, or it cannot be opened */
    SB_SNIFF_IMAGE,    /* an image, or its disk fails, of which who reads it says more */
    SB_SNIFF_DOCUMENT, /* a drawing or a document (SVG, PDF), which has no pixels of its own */
} sb_sniffed;

/* Needs libvips, which sb_decoder_create starts, with the same `untrusted`. format: the name of libvips'
 * reader ("jpeg"), which lives on. trusted: whether libvips trusts that reader with files of strangers. */
sb_sniffed sb_sniff(const char *path, bool untrusted, const char **format, bool *trusted);

#endif
