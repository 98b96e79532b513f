/* rank.c: RankMe, the effective rank of the features. See metrics.h. A number to look at, never to rank runs
 * by. */
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>

#include "evaluator/metrics/metrics.h"
#include "proto/error.h"
#include "proto/memory.h"

double sb_metric_rankme(const float *features, int rows, int width)
{
    rows = rows < SB_RANK_ROWS ? rows : SB_RANK_ROWS;
    int least = rows < width ? rows : width;
    size_t values = (size_t)rows * (size_t)width;
    double *x = sb_zeroed(values, sizeof *x, "the features in f64");
    double *singular = sb_zeroed((size_t)least, sizeof *singular, "the singular values of the features");
    double rank = -1, unused;
    if (x && singular) {
        for (size_t i = 0; i < values; i++)
            x[i] = features[i];
        /* Row-major is the transpose in columns, with the same singular values. */
        if (LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', width, rows, x, width, singular, &unused, 1, &unused, 1) !=
            0) {
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
    free(x);
    free(singular);
    return rank;
}
