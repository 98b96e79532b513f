/* index.h: the data set: which files, how large, which tiles, which part is held out.
 *
 * A data set is a folder (recursive; the first level of sub-folders names the labels, if there are any) or a
 * CSV manifest with the column `path` and optionally left, top, label, group, split (train | test), and any
 * that a key guide.COLUMN names. The index
 * is made once, frozen into the run directory as index.bin, and used again on resume. There names are
 * relative to data.path, so that data may be moved: "a/b.jpg" of a folder, "../b.jpg" beside a manifest; a
 * file that is not below that folder has its whole path. Rows are sorted by these names, page and place, so
 * the index depends neither on the file system's order nor on where the data lie. Each page of a multi-page
 * TIFF is an image, unless it says, or its slide scanner does, that it is something else (sb_page_kind).
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

/* A row of the index: an image, or a tile of one where the manifest places tiles. It lies in index.bin as it
 * lies here. */
typedef struct {
    uint64_t name; /* where its name begins in the index's names */
    int64_t bytes, mtime_ns;
    int32_t page;                  /* of a multi-page file, 0 for the first */
    int32_t width, height;         /* upright: after orientation */
    int32_t left, top;             /* placed: the only tile */
    uint32_t label;                /* row in labels; UINT32_MAX none */
    uint32_t group;                /* equal for rows of one group; by default one an image */
    uint32_t tiles;                /* training samples an epoch, before tiles_per_image */
    uint32_t value[SB_GUIDES_MAX]; /* row in the values of each of the index's columns; UINT32_MAX none */
    uint32_t file; /* the first row of the same file and page: they overlap, and are decoded together */
    sb_region train, test;  /* the part to train on, the part held out */
    uint32_t random_access; /* 1: tiles decode without the whole image */
    uint32_t placed;        /* 1: left, top name the only tile */
    uint32_t unused;        /* 0 */
} sb_image;

/* A file, or a page of one, that is not used, by its name, and why. Both are clean text. */
typedef struct {
    char *path, *reason;
    int page;
} sb_skipped;

/* Files that were passed over: those of one suffix, for one reason. */
typedef struct {
    char *suffix, *reason; /* suffix: ".txt", "" none */
    char *first;           /* the name of one */
    uint32_t count;
} sb_passed;

/* Columns of the grid of tiles that an image is trained on. */
static inline int sb_image_columns(const sb_image *image, int tile)
{
    return image->train.width >= tile ? image->train.width / tile : 1;
}

/* Training samples of an image an epoch. A side that is shorter than a tile has one, completed by mirroring.
 */
static inline uint32_t sb_image_tiles(const sb_image *image, int tile)
{
    const sb_region *r = &image->train;
    const int rows = r->height >= tile ? r->height / tile : 1;
    if (r->width == 0)
        return 0;
    return image->placed ? 1 : (uint32_t)sb_image_columns(image, tile) * (uint32_t)rows;
}

/* A column that a key guide.COLUMN names, and what stands in it. */
typedef struct {
    const char *name, **values;
    uint32_t count;
} sb_column;

typedef struct {
    char *root;  /* the folder that data.path is, or that its manifest lies in, with a slash behind it; NULL:
                    no name is relative to it */
    bool beside; /* data.path is a manifest */
    const sb_image *images;
    uint32_t count;
    const char *names; /* texts of names, labels and columns, each with a zero byte behind it */
    uint64_t name_bytes;
    const char **labels;
    uint32_t label_count;
    sb_column columns[SB_GUIDES_MAX];
    int column_count;
    int tile;                               /* side */
    uint64_t samples;                       /* training samples an epoch */
    uint32_t largest;                       /* of the images that are decoded whole, the one of most pixels */
    uint64_t largest_pixels, largest_bytes; /* of images decoded whole: pixels; bytes of a file that is read
                                               whole */
    struct {
        void *data;
        size_t bytes;
    } maps[2]; /* what images and names lie in */
    sb_skipped *skipped;
    uint32_t skipped_count;
    sb_passed *passed;
    uint32_t passed_count;
    uint32_t twins;                /* files of the same content as one before */
    char *twin_first, *twin_other; /* two such names; NULL: there is none */
    char range[SB_RANGE_TEXT]; /* what a scan found for data.range; "": nothing that the key does not say */
    char **remarks;            /* of a scan, on what its samples mean; clean text */
    uint32_t remark_count;
} sb_index;

/* Scans data->path. Files that libvips cannot open, and names that are not UTF-8, are left out and stand in
 * `skipped`; files that are not meant to be images stand in `passed`. No usable image is an error, as is
 * anything wrong with a manifest. decode: every pixel is read, and not the headers alone. */
int sb_index_scan(sb_index *out, const sb_data_keys *data, const sb_loader_keys *loader, bool decode);

/* index.bin of a run directory, and beside it index.csv, which says the same to people and is not read. */
int sb_index_write(const sb_index *index, const char *run_dir);

/* Reads it, and checks every row; data.path need not be there. */
int sb_index_read(sb_index *out, const char *run_dir, const sb_data_keys *data);

/* Maps the file and checks all but its rows, so that it takes no time and no memory that grows with them. Who
 * uses a row of it checks that. */
int sb_index_open(sb_index *out, const char *run_dir, const sb_data_keys *data);
int sb_index_check_row(const sb_index *index, uint32_t row);

/* Checks every row, and that no two of them contradict each other. */
int sb_index_check(const sb_index *index);

/* An image's name, as index.csv and quarantine.jsonl have it. The index's. */
const char *sb_index_name(const sb_index *index, const sb_image *image);

/* An image's path, as it can be opened, into out[PATH_MAX]; returns it. */
const char *sb_index_path_of(const sb_index *index, const sb_image *image, char *out);

/* Are two rows of one file? */
bool sb_index_same_file(const sb_index *index, const sb_image *a, const sb_image *b);

/* Notes what is not used: the first few of `skipped` by name, `passed` in numbers; and that files are equal.
 */
void sb_index_note_left_out(const sb_index *index);

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

/* What the decoder needs to know of an image, whose path is put into path[PATH_MAX]. */
sb_decode_source sb_index_source(const sb_index *index, const sb_image *image, char *path);

/* Held-out tiles, non-overlapping, in order of image, top, left; of more than `max` so many, spread evenly
 * over all. Returns how many, *out malloc'ed; -1. */
typedef struct {
    uint32_t image;
    int left, top;
} sb_tile;
int sb_index_test_tiles(const sb_index *index, int max, sb_tile **out);

/* So many held-out tiles an evaluation needs. */
#define SB_HELD_LEAST 2
/* As sb_fail: fewer are there, and what gives more. tile: data.tile. */
int sb_index_fail_held(int tiles, int tile);

void sb_index_free(sb_index *index);

#endif
