/* spread.h: how far embeddings are spread: what tells a collapse, whatever the method. In host memory. */
#ifndef SB_TRAINER_SPREAD_H
#define SB_TRAINER_SPREAD_H

#include <stdbool.h>
#include <stddef.h>

/* Divides each row of x [rows, width] by its length; a row of zeros stays as it is. */
void sb_spread_unit(float *x, size_t rows, int width);

/* Of rows of length 1: the mean over columns of the standard deviation, times sqrt(width): 1 when spread
 * evenly, 0 when all rows are one. */
double sb_spread_deviation(const float *x, int rows, int width);

/* Singular values of x [rows, width], from large to small, in double, into out[min(rows, width)]; centred: of
 * the rows less their mean. */
int sb_spread_singular(const float *x, int rows, int width, bool centred, double *out);

/* The effective number of `count` values from 0 on: exp of the entropy of their shares of the sum, to each of
 * which `more` is added. */
double sb_spread_effective(const double *value, int count, double more);

/* RankMe (Garrido et al. 2023): exp of the entropy of the singular values, in double, of the first
 * SB_SPREAD_ROWS rows. At most min(rows, width). Negative: sb_error. */
#define SB_SPREAD_ROWS 1024
double sb_spread_rank(const float *x, int rows, int width);

#endif
