/* index.h: the data set: which files, how large, which tiles, which part is held out.
 *
 * A data set is a folder (recursive; the first level of sub-folders names the labels, if there are any) or a
 * CSV manifest with the column `path` and optionally left, top, label, group, split (train | test), and any
 * that a key guide.COLUMN names. The index
 * is made once, frozen into the run directory as index.csv, and used again on resume. There paths are
 * relative to data.path, so that data may be moved: "a/b.jpg" of a folder, "../b.jpg" beside a manifest; a
 * file that is not below that folder has its whole path. Rows are sorted by these names, page and place, so
 * the index depends neither on the file system's order nor on where the data lie. Each page of a multi-page
 * TIFF is an image; the levels of a pyramid (pages that are half, a quarter... of the first) are not.
 *
 * Which part is held out is decided by the first of these that applies:
 *   - `split`, if the manifest has it;
 *   - where there are ten groups or more, whole groups are held out;
 *   - of each image whose longer side has three tiles or more, the last part of that side is held out: it is
 *     max(side / 6, tile) wide (two tiles where the side has five), with a guard band of one tile before it;
 *     shorter images are trained on whole;
 *   - where no image is that long, and there are ten files or more, every tenth by hash of its path.
 * No pixel is in both parts: an index where one is cannot be made or read. */
#ifndef SB_LOADER_INDEX_INDEX_H
#define SB_LOADER_INDEX_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/readers/decoder.h"
#include "loader/keys.h"

typedef struct {
    int left, top, width, height; /* pixels of the image; width 0: nothing */
} sb_region;

/* A row of the index: an image, or a tile of one where the manifest places tiles. */
typedef struct {
    char *path;    /* as it can be opened */
    uint32_t head; /* so many bytes of it are the index's root; 0: it is not below that */
    int64_t bytes, mtime_ns;
    int page;                      /* of a multi-page file, 0 for the first */
    int width, height;             /* upright: after orientation */
    int left, top;                 /* placed: the only tile */
    uint32_t label;                /* row in labels; UINT32_MAX none */
    uint32_t group;                /* equal for rows of one group; by default one an image */
    uint32_t tiles;                /* training samples an epoch, before tiles_per_image */
    uint32_t value[SB_GUIDES_MAX]; /* row in the values of each of the index's columns; UINT32_MAX none */
    uint32_t file; /* the first row of the same file and page: they overlap, and are decoded together */
    sb_region train, test; /* the part to train on, the part held out */
    bool random_access;    /* tiles decode without the whole image */
    bool placed;           /* left, top name the only tile */
} sb_image;

/* A file, or a page of one, that is not used, by its name, and why. Both are clean text. */
typedef struct {
    char *path, *reason;
    int page;
} sb_skipped;

/* Columns of the grid of tiles that an image is trained on. */
static inline int sb_image_columns(const sb_image *image, int tile)
{
    return image->train.width >= tile ? image->train.width / tile : 1;
}

/* A column that a key guide.COLUMN names, and what stands in it. */
typedef struct {
    char *name, **values;
    uint32_t count;
} sb_column;

typedef struct {
    char *root;  /* the folder that data.path is, or that its manifest lies in, with a slash behind it; NULL:
                    no  path is relative to it */
    bool beside; /* data.path is a manifest */
    sb_image *images;
    uint32_t count;
    char **labels;
    uint32_t label_count;
    sb_column columns[SB_GUIDES_MAX];
    int column_count;
    int tile;         /* side */
    uint64_t samples; /* training samples an epoch */
    sb_skipped *skipped;
    uint32_t skipped_count;
    char range[SB_RANGE_TEXT]; /* what a scan found for data.range; "": nothing that the key does not say */
    char **remarks;            /* of a scan, on what its samples mean; clean text */
    uint32_t remark_count;
} sb_index;

/* Scans data->path. Files that libvips cannot open, and names that are not UTF-8, are left out and
 * stand in `skipped`; no usable image is an error, as is anything wrong with a manifest. */
int sb_index_scan(sb_index *out, const sb_data_keys *data, const sb_loader_keys *loader);

/* index.csv of a run directory. Reading validates every field (the file may have been edited); data.path need
 * not be there. */
int sb_index_write(const sb_index *index, const char *run_dir);
int sb_index_read(sb_index *out, const char *run_dir, const sb_data_keys *data);

/* An image's path as index.csv and quarantine.jsonl have it, into out[PATH_MAX]; returns it. */
const char *sb_index_name(const sb_index *index, const sb_image *image, char *out);

/* Notes the first few of `skipped` by name. */
void sb_index_note_skipped(const sb_index *index);

/* Notes the remarks. */
void sb_index_note_remarks(const sb_index *index);

/* Notes the first few images whose file has another size than indexed, and how many have only another time.
 * Returns how many there are. */
uint32_t sb_index_changed(const sb_index *index);

/* Bytes of the largest image that is decoded whole: the least cache that a decoder of this index needs. */
size_t sb_index_largest(const sb_index *index, int channels);

/* Bytes that a loader of this index takes beside decoded images: itself, and the largest file. */
size_t sb_index_beside(const sb_index *index);

/* The path of a name of the index (sb_index_name), into out[PATH_MAX]. */
int sb_index_path(const sb_index *index, const char *name, char *out);

/* The first row of the file of that name (sb_index_name) and page; UINT32_MAX: none. */
uint32_t sb_index_find(const sb_index *index, const char *name, int page);

/* What the decoder needs to know of an image. The path is the image's own. */
sb_decode_source sb_index_source(const sb_image *image);

/* Held-out tiles, non-overlapping, in order of image, top, left; of more than `max` so many, spread evenly
 * over all. Returns how many, *out malloc'ed; -1. */
typedef struct {
    uint32_t image;
    int left, top;
} sb_tile;
int sb_index_test_tiles(const sb_index *index, int max, sb_tile **out);

void sb_index_free(sb_index *index);

#endif
