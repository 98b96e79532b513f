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

/* data.* */
typedef struct {
    char path[PATH_MAX];                /* folder or CSV manifest; absolute where it exists */
    char exclude[PATH_MAX];             /* patterns of names that are left out, with commas between */
    int tile;                           /* side in pixels, >= 16 */
    int view;                           /* side of a view that names no size */
    int window;                         /* images whose tiles are mixed with one another */
    int channels;                       /* 3 or 1 */
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

/* Fills both structs and checks what no key shows by itself: rules over several keys. */
int sb_loader_keys_read(const sb_config *config, sb_data_keys *data, sb_loader_keys *loader);

/* The same of a run directory. */
int sb_loader_keys_of_run(const char *run_dir, sb_data_keys *data, sb_loader_keys *loader);

#endif
