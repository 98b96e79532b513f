/* keys.h: the keys of the data set and of its loaders. Data alone: every program links it. */
#ifndef SB_LOADER_KEYS_H
#define SB_LOADER_KEYS_H

#include "proto/config.h"

typedef enum { SB_PLACE_RANDOM, SB_PLACE_GRID } sb_place;

#define SB_GUIDES_MAX 8
#define SB_GUIDE_COLUMN 64

/* guide.COLUMN: a column of a manifest, and its weight; 0: it is known, and not used. */
typedef struct {
    char column[SB_GUIDE_COLUMN];
    double weight;
} sb_guide_key;

#define SB_CHANNELS_MAX 8

/* AUTO: of the format, or what files say of it; FULL: of the format; GIVEN: A..B; PERCENTILE: of the samples
 * that were looked at while indexing. */
typedef enum { SB_RANGE_AUTO, SB_RANGE_FULL, SB_RANGE_GIVEN, SB_RANGE_PERCENTILE } sb_range;
typedef enum { SB_WARNINGS_REFUSE, SB_WARNINGS_ACCEPT } sb_warnings;

/* What the samples of a file mean: all that a decoder is told of them. */
typedef struct {
    int channels;
    int bands[SB_CHANNELS_MAX], band_count; /* samples of a pixel, from 1; none: those of the colour */
    sb_range range;
    double low, high; /* GIVEN: what becomes 0 and 255 */
    sb_warnings warnings;
} sb_samples_keys;

/* data.* */
typedef struct {
    char path[PATH_MAX];    /* folder or CSV manifest; absolute where it exists */
    char exclude[PATH_MAX]; /* patterns of names that are left out, with commas between */
    int tile;               /* side in pixels, >= 16 */
    int view;               /* side of a view that names no size */
    int window;             /* images whose tiles are mixed with one another */
    int channels;           /* 1 to SB_CHANNELS_MAX */
    char range[PATH_MAX], bands[PATH_MAX];
    sb_warnings warnings;
    sb_samples_keys samples;            /* what the four say */
    sb_place place;                     /* random: anywhere in the training region; grid: non-overlapping */
    int tiles_per_image;                /* multiplies max(1, floor(w/T) floor(h/T)) */
    bool untrusted;                     /* allow loaders that libvips marks untrusted */
    double max_bad;                     /* share of images that may be quarantined before the run stops */
    sb_guide_key guides[SB_GUIDES_MAX]; /* in the order in which they were set */
    int guide_count;
} sb_data_keys;

/* loader.* */
typedef struct {
    int cache_mb;   /* decoded whole images that a loader keeps; 0 = those of a window, as far as the memory
                       goes   that may be used */
    double timeout; /* seconds without progress before a loader is killed */
    int slots;      /* of the tile ring; 0 = chosen */
} sb_loader_keys;

extern const sb_key_table sb_data_table, sb_guide_table, sb_loader_table;

/* The text of data.range that says GIVEN, low and high, into out[SB_RANGE_TEXT]. */
#define SB_RANGE_TEXT 64
void sb_range_text(double low, double high, char *out);

/* Takes a text of data.range; false: it is none. */
bool sb_range_take(const char *text, sb_samples_keys *out);

/* Fills both structs and checks what no key shows by itself: rules over several keys. */
int sb_loader_keys_read(const sb_config *config, sb_data_keys *data, sb_loader_keys *loader);

/* The same of a run directory. */
int sb_loader_keys_of_run(const char *run_dir, sb_data_keys *data, sb_loader_keys *loader);

#endif
