/* spread.c: see spread.h. */
#include "trainer/spread.h"

#include <lapacke.h>
#include <math.h>
#include <stdlib.h>

#include "proto/error.h"
#include "proto/memory.h"

void sb_spread_unit(float *x, size_t rows, int width)
{
    for (size_t i = 0; i < rows; i++) {
        float *row = x + i * (size_t)width;
        double length = 0;
        for (int k = 0; k < width; k++)
            length += (double)row[k] * row[k];
        float scale = (float)(1 / fmax(sqrt(length), 1e-12));
        for (int k = 0; k < width; k++)
            row[k] *= scale;
    }
}

double sb_spread_deviation(const float *x, int rows, int width)
{
    double sum = 0;
    for (int k = 0; k < width; k++) {
        double mean = 0, square = 0;
        for (int i = 0; i < rows; i++)
            mean += x[(size_t)i * (size_t)width + (size_t)k];
        mean /= rows;
        for (int i = 0; i < rows; i++) {
            double d = x[(size_t)i * (size_t)width + (size_t)k] - mean;
            square += d * d;
        }
        sum += sqrt(square / rows);
    }
    return sum / width * sqrt(width);
}

double sb_spread_rank(const float *x, int rows, int width)
{
    rows = rows < SB_SPREAD_ROWS ? rows : SB_SPREAD_ROWS;
    int least = rows < width ? rows : width;
    size_t values = (size_t)rows * (size_t)width;
    double *wide = sb_zeroed(values, sizeof *wide, "the features in f64");
    double *singular = sb_zeroed((size_t)least, sizeof *singular, "the singular values of the features");
    double rank = -1, unused;
    if (wide && singular) {
        for (size_t i = 0; i < values; i++)
            wide[i] = x[i];
        /* Row-major is the transpose in columns, with the same singular values. */
        if (LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', width, rows, wide, width, singular, &unused, 1, &unused,
                           1) != 0) {
            sb_fail("the singular values of the features do not converge");
        } else {
            double sum = 0, entropy = 0;
            for (int k = 0; k < least; k++)
                sum += singular[k];
            for (int k = 0; sum > 0 && k < least; k++) {
                double p = singular[k] / sum + 1e-7;
                entropy -= p * log(p);
            }
            rank = exp(entropy);
        }
    }
    free(wide);
    free(singular);
    return rank;
}
