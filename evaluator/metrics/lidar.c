/* lidar.c: LiDAR (Thilak et al. 2024): how many directions tell tiles apart, against how the views of one
 * tile differ: the effective number of the eigenvalues of Sw^-1/2 Sb Sw^-1/2. Sb is the covariance of the
 * tiles' mean features (over the distorted views), Sw that of views around their tile's mean, and 1e-4 on its
 * diagonal. At most min(width, tiles - 1). Of as many tiles as have SB_SPREAD_ROWS views. Lacking with one
 * view a tile. */
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>

#include "evaluator/metrics/metrics.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/spread.h"

#define RIDGE 1e-4
#define SMALL 1e-7 /* added to each eigenvalue */

/* The means of the tiles' views less the mean of all, over sqrt(tiles - 1), into mean[tiles, width]; the
 * views less their tile's, over sqrt(tiles (each - 1)), into rest[tiles each, width]. */
static void divide(const float *view, size_t tiles, size_t each, size_t width, double *mean, double *rest)
{
    for (size_t c = 0; c < width; c++) {
        double grand = 0;
        for (size_t t = 0; t < tiles; t++) {
            double sum = 0;
            for (size_t d = 0; d < each; d++)
                sum += view[(t * each + d) * width + c];
            mean[t * width + c] = sum / (double)each;
            grand += sum / (double)(tiles * each);
            for (size_t d = 0; d < each; d++)
                rest[(t * each + d) * width + c] = (view[(t * each + d) * width + c] - sum / (double)each) /
                                                   sqrt((double)(tiles * (each - 1)));
        }
        for (size_t t = 0; t < tiles; t++)
            mean[t * width + c] = (mean[t * width + c] - grand) / sqrt((double)(tiles - 1));
    }
}

/* The eigenvalues of mean Sw^-1 mean', which are those in question, are the squared singular values of L^-1
 * mean', where Sw = rest' rest + RIDGE = L L'. Sw lies packed, as LAPACK's products and factors of symmetric
 * matrices take it: as their _work functions do, since the others look for NANs in it where it does not lie,
 * if `width` is even (LAPACK 3.11). Column by column `mean` is mean' already. */
static int eigenvalues(double *mean, const double *rest, int tiles, int rows, int width, double *value)
{
    const size_t side = (size_t)width;
    double *ridge = sb_zeroed(side * side, sizeof *ridge, "a ridge");
    double *within = sb_zeroed(side * (side + 1) / 2, sizeof *within, "the covariance of views"), unused;
    int status = -1;
    for (size_t c = 0; ridge && c < side; c++)
        ridge[c * side + c] = RIDGE;
    if (ridge && within)
        status = LAPACKE_dtrttf_work(LAPACK_COL_MAJOR, 'N', 'L', width, ridge, width, within);
    if (status == 0)
        status = LAPACKE_dsfrk_work(LAPACK_COL_MAJOR, 'N', 'L', 'N', width, rows, 1, rest, width, 1, within);
    if (status == 0)
        status = LAPACKE_dpftrf_work(LAPACK_COL_MAJOR, 'N', 'L', width, within);
    if (status == 0)
        status = LAPACKE_dtfsm_work(LAPACK_COL_MAJOR, 'N', 'L', 'L', 'N', 'N', width, tiles, 1, within, mean,
                                    width);
    if (status == 0)
        status = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', width, tiles, mean, width, value, &unused, 1, &unused,
                                1);
    for (int i = 0; status == 0 && i < (tiles < width ? tiles : width); i++)
        value[i] = value[i] * value[i] + SMALL;
    free(ridge);
    free(within);
    return !ridge || !within ? -1 : status != 0 ? sb_fail("LAPACK ends with %d", status) : 0;
}

static int lidar(const sb_features *f, double *out)
{
    const int each = f->distorted, most = SB_SPREAD_ROWS / each, tiles = f->tiles < most ? f->tiles : most;
    const size_t width = (size_t)f->width, views = (size_t)tiles * (size_t)each;
    *out = SB_LACKS;
    if (each < 2 || tiles < 2)
        return 0;
    double *mean = sb_zeroed((size_t)tiles * width, sizeof *mean, "the mean features of tiles");
    double *rest = sb_zeroed(views * width, sizeof *rest, "the features less their tile's");
    double *value = sb_zeroed(width, sizeof *value, "eigenvalues");
    int rc = mean && rest && value ? 0 : -1;
    for (size_t c = 0; rc == 0 && c < width; c++) /* those that there are no tiles for */
        value[c] = SMALL;
    if (rc == 0) {
        divide(f->view, (size_t)tiles, (size_t)each, width, mean, rest);
        rc = eigenvalues(mean, rest, tiles, (int)views, f->width, value);
    }
    if (rc == 0)
        *out = sb_spread_effective(value, f->width, 0);
    free(mean);
    free(rest);
    free(value);
    return rc;
}

const sb_metric sb_metric_lidar = {
    .key = "lidar", .title = "LiDAR", .place = SB_IN_SPREAD, .measure = lidar
};
