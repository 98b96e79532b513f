/* walk.h: the tiles of a data set through an encoder. Tiles lie on a grid over the whole image (or where a
 * manifest places them); each is decoded, resized to the view's size, and nothing else is done to it. */
#ifndef SB_EVALUATOR_WALK_H
#define SB_EVALUATOR_WALK_H

#include <stdint.h>

#include "evaluator/encoder.h"
#include "loader/index/index.h"
#include "loader/readers/decoder.h"

#define SB_WALK_BATCH 32 /* tiles that are encoded at once */

typedef struct {
    const sb_index *index;
    sb_device *device;
    sb_encoder *encoder; /* of the run's newest checkpoint, with its running statistics */
    sb_decoder *decoder;
    int64_t step; /* of that checkpoint */
    int tile, side, channels;
    void *scratch;
    uint8_t *pixels, *views;        /* a decoded tile; [SB_WALK_BATCH, side, side, channels] */
    float *features;                /* [SB_WALK_BATCH, width] */
    sb_tile waiting[SB_WALK_BATCH]; /* tiles whose views are not encoded yet */
    int waiting_count;
    uint64_t tiles, left_out; /* encoded so far; that cannot be decoded */
    uint32_t unusable;        /* sb_image.file of the last image that cannot: its other tiles are not tried */
    uint64_t begun, noted;
} sb_walk;

/* Takes `tiles` tiles and their features [tiles, width], as the backbone gives them. */
typedef int (*sb_walk_taker)(void *context, const sb_tile *tile, int tiles, const float *features);

/* config: the run's, or with other keys; keeps pointers. best: of its checkpoints the best one, not the
 * newest.
 */
int sb_walk_create(sb_walk *out, const char *run_dir, bool best, const sb_settings *config,
                   const sb_index *index, int threads);
void sb_walk_free(sb_walk *walk);

/* Every tile of the index, in its order. One that cannot be decoded is left out, each image with a note; none
 * that can is an error. */
int sb_walk_all(sb_walk *walk, sb_walk_taker take, void *context);

/* The same in memory: tiles and features [tiles, width], which the caller frees. */
typedef struct {
    int tiles;
    size_t room; /* tiles that there is memory for */
    sb_tile *tile;
    float *feature;
} sb_walked;
int sb_walk_gather(sb_walk *walk, sb_walked *out);

/* The view of one tile, into out[side, side, channels]. 1; 0: it cannot be decoded; -1. */
int sb_walk_view(sb_walk *walk, const sb_tile *tile, uint8_t *out);

#endif
