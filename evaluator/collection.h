/* collection.h: the features of every tile of a run's data set, trained on and held out, by the run's newest
 * checkpoint: to be searched.
 *
 * They are made once for a checkpoint and a size of the views, and kept as RUN/features/step-N-SIZE.npy (f32
 * [tiles, width], as the backbone gives them) with step-N-SIZE.tiles.npy (i32 [tiles, 3]: image of the index,
 * left, top); where these cannot be written they are made each time, and a note says so. Held in memory as a
 * whole. */
#ifndef SB_EVALUATOR_COLLECTION_H
#define SB_EVALUATOR_COLLECTION_H

#include "evaluator/walk.h"

typedef struct {
    sb_settings config;
    char *config_text;
    sb_index index;
    sb_walk walk;
    int tiles, width;
    sb_tile *tile;  /* [tiles] */
    float *feature; /* [tiles, width]: less their mean, then of length 1 */
    double *mean;   /* [width] */
} sb_collection;

int sb_collection_create(sb_collection *out, const char *run_dir, int threads);
void sb_collection_free(sb_collection *collection);

/* Brings features [rows, width], as the backbone gives them, to where the collection's are. */
void sb_collection_centre(const sb_collection *collection, float *feature, int rows);

/* Cosines of `rows` of such features to every tile, into out[rows, tiles]. */
int sb_collection_compare(const sb_collection *collection, const float *feature, int rows, float *out);

/* "train", "held out" or "between": which part of its image the tile lies in as a whole. */
const char *sb_collection_part(const sb_collection *collection, int tile);

#endif
