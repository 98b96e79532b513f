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

/* Features f32 [tiles, width] of the clean tiles and [tiles * distorted, width] of the views, scaled to
 * length 1 in place. */
int sb_measure(float *clean, float *view, int width, const sb_gallery *gallery, const sb_index *index,
               sb_measures *out);

/* The same of a description of pixels (metrics.h: baseline) instead of a network. */
typedef void (*sb_describe)(const uint8_t *view, int side, int channels, float *feature);
int sb_measure_described(sb_describe describe, int width, const sb_gallery *gallery, const sb_index *index,
                         sb_measures *out);

/* What guessing gives, where a measure has such a value; 0 elsewhere. */
int sb_measure_chance(const sb_gallery *gallery, const sb_index *index, sb_measures *out);

/* A measure's description. */
extern const sb_metric *const sb_metrics[SB_METRICS];

#endif
