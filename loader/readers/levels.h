/* levels.h: what was seen of the samples of a page, before they are spread over a range: where they lie, and
 * a histogram of a data set. Data alone; no file is opened here. */
#ifndef SB_LOADER_READERS_LEVELS_H
#define SB_LOADER_READERS_LEVELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_LEVELS_SAMPLES (1 << 16) /* of a page, at most */
#define SB_LEVELS_STEPS (1 << 20)   /* of the histogram: a step is 2^-11 of its value */

/* Samples of a page, in any order. values: room for SB_LEVELS_SAMPLES, the caller's. */
typedef struct {
    double *values;
    size_t count;       /* of those that are finite */
    size_t not_finite;  /* infinite, or no number */
    double low, high;   /* what would become 0 and 255 */
    double format_high; /* the largest value of whole numbers of this size; 0: floats */
    double said;        /* the largest value that the file says its samples have; 0: nothing */
    bool wide;          /* not 8 bits */
    bool light;         /* linear light, from 0 to 1 */
} sb_levels;

/* What is left of them once they are sorted. */
typedef struct {
    double least, low, middle, high, most; /* 0, 0.5, 50, 99.5 and 100 % of the samples are not above */
} sb_quantiles;

/* Sorts the values. Of none all are 0. */
sb_quantiles sb_levels_quantiles(sb_levels *levels);

/* Counts the values in a histogram [SB_LEVELS_STEPS]. */
void sb_levels_count(const sb_levels *levels, uint64_t *histogram);

/* The value below which this share of the counted lies, to a step; up: the step's upper end. 0 of nothing. */
double sb_levels_share(const uint64_t *histogram, double share, bool up);

/* Would pixels that are spread from low to high be nearly black, nearly white, or have few levels? A phrase
 * that says so, or NULL. */
const char *sb_levels_trouble(const sb_levels *levels, const sb_quantiles *quantiles);

/* A range that spreads the samples of a data set: whole numbers from 0 (or -2^n) to 2^n - 1; floats from 0
 * (or as far below) to 1, 255, or one digit and zeros. */
void sb_levels_suggest(double least, double most, bool whole, double *low, double *high);

#endif
