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

int sb_spread_singular(const float *x, int rows, int width, bool centred, double *out)
{
    const size_t values = (size_t)rows * (size_t)width;
    double *wide = sb_zeroed(values, sizeof *wide, "the features in f64"), unused;
    if (!wide)
        return -1;
    for (size_t i = 0; i < values; i++)
        wide[i] = x[i];
    for (int c = 0; centred && c < width; c++) {
        double mean = 0;
        for (int i = 0; i < rows; i++)
            mean += wide[(size_t)i * (size_t)width + (size_t)c] / rows;
        for (int i = 0; i < rows; i++)
            wide[(size_t)i * (size_t)width + (size_t)c] -= mean;
    }
    /* Row-major is the transpose in columns, with the same singular values. */
    const int status = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', width, rows, wide, width, out, &unused, 1,
                                      &unused, 1);
    free(wide);
    return status != 0 ? sb_fail("the singular values of the features do not converge") : 0;
}

double sb_spread_effective(const double *value, int count, double more)
{
    double sum = 0, entropy = 0;
    for (int i = 0; i < count; i++)
        sum += value[i];
    for (int i = 0; sum > 0 && i < count; i++) {
        const double p = value[i] / sum + more;
        entropy -= p * log(p);
    }
    return exp(entropy);
}

double sb_spread_rank(const float *x, int rows, int width)
{
    rows = rows < SB_SPREAD_ROWS ? rows : SB_SPREAD_ROWS;
    const int least = rows < width ? rows : width;
    double *singular = sb_zeroed((size_t)least, sizeof *singular, "the singular values of the features");
    double rank = -1;
    if (singular && sb_spread_singular(x, rows, width, false, singular) == 0)
        rank = sb_spread_effective(singular, least, 1e-7);
    free(singular);
    return rank;
}
