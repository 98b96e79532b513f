/* measure.h: every measure of one set of features of the gallery, the same for networks and for what needs
 * none. */
#ifndef SB_EVALUATOR_MEASURE_H
#define SB_EVALUATOR_MEASURE_H

#include "evaluator/gallery.h"
#include "loader/index.h"

#define SB_KNN_NEIGHBOURS 20
#define SB_KNN_TEMPERATURE 0.07

/* Shares are 0 .. 1; negative where the data set has no labels or no group of two. */
typedef struct {
    double view_retrieval;  /* distorted view -> its own clean tile; chance 1 / tiles */
    double group_retrieval; /* clean tile -> another of its group */
    double knn1, knn5;      /* labels of the clean tiles, each left out of its own vote */
    double rank;            /* RankMe of the distorted views; to look at, never to rank by */
    double alignment;       /* of clean and distorted, mean squared distance: smaller is nearer */
    double uniformity;      /* of the clean tiles: more negative is more even */
    double deviation;       /* of the distorted views: 1 evenly spread, 0 collapsed */
} sb_measures;

/* Features f32 [tiles, width] of the clean tiles and [tiles * distorted, width] of the views, scaled to
 * length 1 in place. nearest [tiles * distorted]: the tile found for each view, or NULL. */
int sb_measure(float *clean, float *view, int width, const sb_gallery *gallery, const sb_index *index,
               sb_measures *out, uint32_t *nearest);

/* The same of a description of pixels (metrics.h: baseline) instead of a network. */
typedef void (*sb_describe)(const uint8_t *view, int side, int channels, float *feature);
int sb_measure_described(sb_describe describe, int width, const sb_gallery *gallery, const sb_index *index,
                         sb_measures *out);

/* What guessing gives: view_retrieval, group_retrieval and knn1; the rest is 0 (or negative where the share
 * itself is). */
int sb_measure_chance(const sb_gallery *gallery, const sb_index *index, sb_measures *out);

#endif
