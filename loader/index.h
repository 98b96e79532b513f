/* index.h: the data set: which files, how large, which tiles, which part is held out.
 *
 * A data set is a folder (recursive; the first level of sub-folders names the labels, if there are any) or a CSV manifest with the column
 * `path` and optionally left, top, label, group, split (train | test). The index is made once, frozen into the run directory as
 * index.csv, and used again on resume. Its rows are sorted by path, so it does not depend on the file system's order.
 *
 * Held out: `split` if given; else whole groups where there are ten or more; else, image by image, the last part of the longer side:
 * max(side / 6, tile) wide (two tiles where the side has five), with a guard band of one tile before it (images whose longer side is
 * under three tiles are trained on whole); else every tenth image by hash of its path. No pixel is in both parts: sb_index_check asserts it. */
#ifndef SB_LOADER_INDEX_H
#define SB_LOADER_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/config.h"

typedef struct {
    int left, top, width, height; /* pixels of the image; width 0: nothing */
} sb_region;

/* A row of the index: an image, or a tile of one where the manifest places tiles. */
typedef struct {
    char *path;       /* as it can be opened */
    int page;         /* of a multi-page file, 0 for the first */
    int64_t bytes, mtime_ns;
    int width, height; /* upright: after orientation */
    bool random_access; /* tiles decode without the whole image */
    bool placed;        /* left, top name the only tile */
    int left, top;
    uint32_t label;     /* row in labels; UINT32_MAX none */
    uint32_t group;     /* equal for rows of one group; by default one an image */
    sb_region train, test; /* the part to train on, the part held out */
    uint32_t tiles;     /* training samples an epoch, before tiles_per_image */
} sb_image;

typedef struct {
    sb_image *images;
    uint32_t count;
    char **labels;
    uint32_t label_count;
    int tile;           /* side */
    uint64_t samples;   /* training samples an epoch */
    char *skipped;      /* a line for each file that is not used, and why; malloc'ed text, may be "" */
} sb_index;

/* Scans config->data.path. Files that libvips cannot open are left out and said in `skipped`; no usable image is an error. */
int sb_index_scan(sb_index *out, const sb_config *config);

/* index.csv of a run directory. Reading validates every field (the file may have been edited). */
int sb_index_write(const sb_index *index, const char *run_dir);
int sb_index_read(sb_index *out, const char *run_dir, const sb_config *config);

/* Names images whose size or time changed since (notes), returns how many, -1 on error. */
int sb_index_changed(const sb_index *index);

/* Held-out tiles, non-overlapping, in order of image, left, top; at most `max`. Returns how many, *out malloc'ed. */
typedef struct {
    uint32_t image;
    int left, top;
} sb_tile;
int sb_index_test_tiles(const sb_index *index, int max, sb_tile **out);

/* Fails if any training tile can share a pixel with a held-out tile. */
int sb_index_check(const sb_index *index);

void sb_index_free(sb_index *index);

#endif
