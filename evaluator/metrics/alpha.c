/* alpha.c: alpha-ReQ (Agrawal et al. 2022): the decay of the eigenvalues of the covariance of the views'
 * features, those of the first SB_SPREAD_ROWS rows: -slope of log eigenvalue over log rank, by least squares
 * from the 10th to the middle one. Near 1 is said to be good, far above it few directions carry all, far
 * below it is noise. Lacking where fewer than 10 eigenvalues are in that range. */
#include <math.h>
#include <stdlib.h>

#include "evaluator/metrics/metrics.h"
#include "proto/memory.h"
#include "trainer/spread.h"

#define FIRST 10
#define LEAST 10 /* eigenvalues to fit */

static int alpha(const sb_features *f, double *out)
{
    const int all = f->tiles * f->distorted, rows = all < SB_SPREAD_ROWS ? all : SB_SPREAD_ROWS;
    const int last = (rows - 1 < f->width ? rows - 1 : f->width) / 2;
    *out = SB_LACKS;
    if (last - FIRST + 1 < LEAST)
        return 0;
    double *singular = sb_zeroed((size_t)(rows < f->width ? rows : f->width), sizeof *singular,
                                 "the singular values of the features");
    int rc = singular ? sb_spread_singular(f->view, rows, f->width, true, singular) : -1;
    double x = 0, y = 0, xx = 0, xy = 0;
    int count = 0;
    for (int j = FIRST; rc == 0 && j <= last && singular[j - 1] > 1e-6 * singular[0]; j++, count++) {
        const double a = log(j), b = 2 * log(singular[j - 1]);
        x += a;
        y += b;
        xx += a * a;
        xy += a * b;
    }
    if (count >= LEAST)
        *out = -(count * xy - x * y) / (count * xx - x * x);
    free(singular);
    return rc;
}

const sb_metric sb_metric_alpha = {
    .key = "alpha_req", .title = "alpha-ReQ", .place = SB_IN_SPREAD, .measure = alpha
};
