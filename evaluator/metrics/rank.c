/* rank.c: RankMe, the effective rank of the features. See metrics.h. A number to look at, never to rank runs
 * by. */
#include "evaluator/metrics/metrics.h"
#include "trainer/spread.h"

static int rank(const sb_features *f, double *out)
{
    *out = sb_spread_rank(f->view, f->tiles * f->distorted, f->width);
    return *out < 0 ? -1 : 0;
}

const sb_metric sb_metric_rank = { .key = "rank", .title = "RankMe", .place = SB_IN_SPREAD, .measure = rank };
