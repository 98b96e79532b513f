/* resize.h: weights of one size made into those of another, for `init` (init.h). Host memory. */
#ifndef SB_TRAINER_RESIZE_H
#define SB_TRAINER_RESIZE_H

#include <stdint.h>

/* Filters over pixels, [out, in, height, width], of the sides `is` into those of the sides `be`. A value is
 * the sum of the old ones under its area. Where the numbers of channels differ several become
 * one by their sum, one becomes several by sharing it out, and three stay the first three of more, of which
 * the others are 0. */
void sb_resize_filters(const float *from, const int64_t *is, float *to, const int64_t *be);

/* A table of positions of is x is places, rows [width], into one of be x be, as tokens.h does it. -1: there
 * is no memory for it. */
int sb_resize_grid(const float *from, int64_t is, float *to, int64_t be, int64_t width);

#endif
