/* rank.c: RankMe, the effective rank of the features. See metrics.h. A number to look at, never to rank runs
 * by. */
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>

#include "evaluator/metrics/metrics.h"
#include "proto/error.h"
#include "proto/memory.h"

double sb_metric_rankme(const float *x, int rows, int width)
{
    rows = rows < SB_RANK_ROWS ? rows : SB_RANK_ROWS;
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

static int rank(const sb_features *f, double *out)
{
    *out = sb_metric_rankme(f->view, f->tiles * f->distorted, f->width);
    return *out < 0 ? -1 : 0;
}

const sb_metric sb_metric_rank = { .key = "rank", .title = "RankMe", .measure = rank };
