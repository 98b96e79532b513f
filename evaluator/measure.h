/* measure.h: takes every measure of one set of features of the gallery, in the same way for networks and for
 * features that need none. */
#ifndef SB_EVALUATOR_MEASURE_H
#define SB_EVALUATOR_MEASURE_H

#include "evaluator/gallery.h"
#include "evaluator/metrics/metrics.h"
#include "loader/index/index.h"

/* Of one set of features, as metrics.def orders them. */
typedef struct {
    double value[SB_METRICS];
} sb_measures;

/* Features of a gallery, f32. */
typedef struct {
    float *clean, *view;      /* [tiles, width], [tiles * distorted, width] */
    const float *learnt_view; /* [gallery->learnt, width] */
    int width;
    sb_place_features places; /* of the first clean tiles */
} sb_encoded;

/* Clean tiles and views are scaled to length 1 in place. device: see sb_features. */
int sb_measure(sb_encoded *encoded, sb_device *device, const sb_gallery *gallery, const sb_index *index,
               sb_measures *out);

/* The same of a description of pixels (metrics.h: baseline) instead of a network; of its places, which are
 * cut into a grid x grid of squares. grid 0: there are none. */
typedef void (*sb_describe)(const uint8_t *view, int side, int channels, float *feature);
int sb_measure_described(sb_describe describe, int width, int grid, sb_device *device,
                         const sb_gallery *gallery, const sb_index *index, sb_measures *out);

/* Clean tiles whose places are looked at. */
#define SB_PLACES_TILES 32

/* What guessing gives, where a measure has such a value; SB_LACKS elsewhere. */
int sb_measure_chance(const sb_gallery *gallery, const sb_index *index, sb_measures *out);

/* A measure's description. */
extern const sb_metric *const sb_metrics[SB_METRICS];

#endif
