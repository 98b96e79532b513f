/* kinds.h: what a page of a TIFF file is, by what it and its file say of it, and never by its size alone.
 *
 * Any file says it by NewSubfileType. Slide scanners that say it otherwise: Aperio (the descriptions; behind
 * the first page, tiles are levels and strips are pictures of the glass), Hamamatsu (the lens, a private
 * tag), Leica (XML in the first description), Ventana and Philips (the descriptions). A picture of the glass
 * may carry a patient's name: where in doubt a slide's page is none to train on. Private to loader/readers.
 */
#ifndef SB_LOADER_READERS_KINDS_H
#define SB_LOADER_READERS_KINDS_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/readers/decoder.h"

/* What a page says. Texts are "" where there is none; they need to last for the call alone. */
typedef struct {
    uint32_t width, height;
    bool tiled, mask;
    uint32_t subfile; /* NewSubfileType */
    const char *description, *make, *software;
    double lens; /* Hamamatsu's, 0: not said */
} sb_page_facts;

#define SB_KINDS_LISTED 256

/* What the pages before said. */
typedef struct {
    enum {
        SB_SCANNER_NONE,
        SB_SCANNER_APERIO,
        SB_SCANNER_HAMAMATSU,
        SB_SCANNER_LEICA,
        SB_SCANNER_VENTANA,
        SB_SCANNER_PHILIPS
    } scanner;
    sb_page_facts first;             /* its texts are gone */
    uint8_t listed[SB_KINDS_LISTED]; /* Leica: kinds by page */
} sb_kinds;

/* Of the pages of a file, in their order, the kind. *why: the reason in words, which last; NULL of an image.
 * `kinds` is zero before the first page. */
sb_page_kind sb_kinds_next(sb_kinds *kinds, int page, const sb_page_facts *said, const char **why);

#endif
