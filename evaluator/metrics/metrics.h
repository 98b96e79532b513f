/* metrics.h: the measures. A measure is described in its own file and has its line in metrics.def; measuring,
 * the table, evaluation.jsonl and the tests know none by name. */
#ifndef SB_EVALUATOR_METRICS_H
#define SB_EVALUATOR_METRICS_H

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/device.h"

/* Labelled tiles of the training part, whose features a classifier learns from. tiles 0: there are none. */
typedef struct {
    int tiles;
    const float *feature;          /* [tiles, width], as the backbone gives them */
    const uint32_t *label, *group; /* [tiles] */
} sb_learnt_features;

/* Features of places of the first `tiles` clean tiles: [tiles, places, width]. tiles 0: there are none. */
typedef struct {
    int tiles, places, width;
    const float *feature;
} sb_place_features;

/* What is measured: features of a gallery's tiles, and of `distorted` views of each (those of tile t from row
 * t * distorted on). Host memory. */
typedef struct {
    const float *clean, *view; /* [tiles, width], [tiles * distorted, width]; every row has length 1 */
    const float *plain;        /* [tiles, width]: clean as the backbone gives it */
    int tiles, distorted, width;
    const uint32_t *label, *group; /* [tiles]; a label of UINT32_MAX is none */
    sb_learnt_features learnt;
    sb_place_features places;
    sb_device *device; /* for products of matrices; its memory is the host's */
} sb_features;

/* The value of a measure of which something that it needs is lacking. */
#define SB_LACKS (-DBL_MAX)

/* Where a measure is printed. */
typedef enum {
    SB_IN_TABLE,  /* how good features are */
    SB_IN_FEW,    /* the same with few labels */
    SB_IN_SPREAD, /* how features lie, without labels: to look at, never to rank runs or methods by */
    SB_BOUND,     /* of the interval of the measure before it, beside which it is printed */
    SB_IN_LOG     /* nowhere else */
} sb_metric_place;

typedef struct {
    const char *key, *title; /* in evaluation.jsonl; of its column */
    int tells;  /* how much it tells of what features are worth: of those that the data set allows the highest
                   decides whether training goes wrong (held.h); 0: nothing */
    bool share; /* from 0 to 1, printed in per cent */
    sb_metric_place place;

    /* Into out[0], and the values of the measures behind it in metrics.def that have no function of their
     * own into out[1] and on. 0; -1 with sb_error. NULL: the measure before it gives this one, too. */
    int (*measure)(const sb_features *features, double *out);
    double (*chance)(
        const sb_features *features); /* what guessing gives; reads no features. NULL: nothing to say */
} sb_metric;

#define SB_METRIC(NAME, name) SB_METRIC_##NAME,
typedef enum {
#include "evaluator/metrics/metrics.def"
    SB_METRICS
} sb_metric_id;
#undef SB_METRIC

#define SB_METRIC(NAME, name) extern const sb_metric sb_metric_##name;
#include "evaluator/metrics/metrics.def"
#undef SB_METRIC

/* ---- what several measures, and the live trainer's embeddings, need -------------------------------------- */

/* retrieval.c. What guessing gives: how often a random other row has the same id, over the rows whose id
 * another row has, too (UINT32_MAX is no id). SB_LACKS if there is no such row. */
double sb_metric_chance(const uint32_t *id, int rows);

/* spread.c. Mean squared distance of pairs a_i, b_i; log mean exp(-2 |x_i - x_j|^2) over pairs (Wang and
 * Isola 2020). */
double sb_metric_squared_distance(const float *a, const float *b, int rows, int width);
double sb_metric_evenness(const float *x, int rows, int width);

/* baseline.c. Features that need no network, to keep results honest: 16 x 16 pixels, and colour statistics
 * (mean and deviation of each channel, and of brightness steps), as features of length 1. */
#define SB_BASELINE_PIXELS 16
int sb_baseline_pixels_width(int channels);
void sb_baseline_pixels(const uint8_t *view, int side, int channels, float *feature);
int sb_baseline_colour_width(int channels);
void sb_baseline_colour(const uint8_t *view, int side, int channels, float *feature);

#endif
