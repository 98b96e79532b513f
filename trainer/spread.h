/* spread.h: how far embeddings are spread: what tells a collapse, whatever the method. In host memory. */
#ifndef SB_TRAINER_SPREAD_H
#define SB_TRAINER_SPREAD_H

#include <stddef.h>

/* Divides each row of x [rows, width] by its length; a row of zeros stays as it is. */
void sb_spread_unit(float *x, size_t rows, int width);

/* Of rows of length 1: the mean over columns of the standard deviation, times sqrt(width): 1 when spread
 * evenly, 0 when all rows are one. */
double sb_spread_deviation(const float *x, int rows, int width);

/* RankMe (Garrido et al. 2023): exp of the entropy of the singular values, in double, of the first
 * SB_SPREAD_ROWS rows. At most min(rows, width). Negative: sb_error. */
#define SB_SPREAD_ROWS 1024
double sb_spread_rank(const float *x, int rows, int width);

#endif
