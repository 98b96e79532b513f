/* metrics.h: the measures, one file each. Features: f32 [rows, width], rows of length 1, host memory. */
#ifndef SB_EVALUATOR_METRICS_H
#define SB_EVALUATOR_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* spread.c. Scales every row to length 1; a row of zeros stays as it is. */
void sb_metric_unit_rows(float *x, size_t rows, int width);

/* retrieval.c. View retrieval: the share of the queries [tiles * each, width] (those of tile t at t * each)
 * whose nearest gallery row [tiles, width] is their own tile's. Ties go to the lower row. nearest [tiles *
 * each]: the rows found, or NULL. Chance: 1 / tiles. */
double sb_metric_retrieval(const float *gallery, int tiles, const float *queries, int each, int width,
                           uint32_t *nearest);

/* retrieval.c. The share of gallery rows whose nearest other row has the same group; rows whose group is
 * alone do not count. Negative if none counts. */
double sb_metric_group_retrieval(const float *gallery, const uint32_t *group, int tiles, int width);

/* retrieval.c. The share that a random other row gives: of the same id, over rows that are not alone with
 * theirs (UINT32_MAX is no id). Negative if there is none. */
double sb_metric_chance(const uint32_t *id, int rows);

/* knn.c. k nearest neighbours with weights exp(s / temperature) (Wu et al. 2018), each row left out of its
 * own vote: share of rows whose label is the first, or among the first five. Rows labelled UINT32_MAX do not
 * count; both are negative if none counts. -1: out of memory. */
int sb_metric_knn(const float *features, const uint32_t *labels, int rows, int width, int k,
                  double temperature, double *top1, double *top5);

/* rank.c. RankMe (Garrido et al. 2023): exp of the entropy of the singular values, in double, of the first
 * SB_RANK_ROWS rows. At most min(rows, width). Negative: sb_error. */
#define SB_RANK_ROWS 1024
double sb_metric_rankme(const float *features, int rows, int width);

/* spread.c. Alignment (mean squared distance of pairs a_i, b_i), uniformity (log mean exp(-2 |x_i - x_j|^2)
 * over pairs; Wang and Isola 2020), and the mean over columns of the standard deviation, times sqrt(width): 1
 * when spread evenly, 0 when collapsed. */
double sb_metric_alignment(const float *a, const float *b, int rows, int width);
double sb_metric_uniformity(const float *x, int rows, int width);
double sb_metric_deviation(const float *x, int rows, int width);

/* baseline.c. What needs no network, to keep results honest: 16 x 16 pixels, and colour statistics (mean and
 * deviation of each channel, and of brightness steps), as features of length 1. */
#define SB_BASELINE_PIXELS 16
int sb_baseline_pixels_width(int channels);
void sb_baseline_pixels(const uint8_t *view, int side, int channels, float *feature);
int sb_baseline_colour_width(int channels);
void sb_baseline_colour(const uint8_t *view, int side, int channels, float *feature);

#endif
