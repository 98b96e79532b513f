/* retrieval.c: is the nearest one the right one? Of a distorted view: its own clean tile; of a clean tile:
 * another of its group. Ties go to the lower row. */
#include "evaluator/metrics/metrics.h"

static double dot(const float *a, const float *b, int width)
{
    double sum = 0;
    for (int k = 0; k < width; k++)
        sum += (double)a[k] * b[k];
    return sum;
}

/* The clean tile nearest to a feature; `but` is left out (-1: none). */
static int nearest(const sb_features *f, const float *feature, int but)
{
    int best = -1;
    double most = -2;
    for (int t = 0; t < f->tiles; t++) {
        double s = t == but ? -2 : dot(feature, f->clean + (size_t)t * (size_t)f->width, f->width);
        if (s > most) {
            most = s;
            best = t;
        }
    }
    return best;
}

static int view_retrieval(const sb_features *f, double *out)
{
    int hits = 0, queries = f->tiles * f->distorted;
    for (int q = 0; q < queries; q++)
        hits += nearest(f, f->view + (size_t)q * (size_t)f->width, -1) == q / f->distorted;
    *out = (double)hits / queries;
    return 0;
}

static double one_tile(const sb_features *f) { return 1.0 / f->tiles; }

/* Tiles whose group is alone do not count. */
static int group_retrieval(const sb_features *f, double *out)
{
    int counted = 0, hits = 0;
    for (int i = 0; i < f->tiles; i++) {
        int others = 0;
        for (int j = 0; j < f->tiles; j++)
            others += j != i && f->group[j] == f->group[i];
        if (others == 0)
            continue;
        int best = nearest(f, f->clean + (size_t)i * (size_t)f->width, i);
        counted++;
        hits += best >= 0 && f->group[best] == f->group[i];
    }
    *out = counted ? (double)hits / counted : SB_LACKS;
    return 0;
}

static double another_of_the_group(const sb_features *f) { return sb_metric_chance(f->group, f->tiles); }

double sb_metric_chance(const uint32_t *id, int rows)
{
    int counted = 0, known = 0;
    double expected = 0;
    for (int i = 0; i < rows; i++)
        known += id[i] != UINT32_MAX;
    for (int i = 0; i < rows; i++) {
        int others = 0;
        for (int j = 0; j < rows; j++)
            others += j != i && id[j] == id[i];
        if (id[i] == UINT32_MAX || others == 0)
            continue;
        counted++;
        expected += (double)others / (known - 1);
    }
    return counted ? expected / counted : SB_LACKS;
}

const sb_metric sb_metric_view_retrieval = { .key = "view_retrieval",
                                             .title = "view",
                                             .tells = 1,
                                             .share = true,
                                             .measure = view_retrieval,
                                             .chance = one_tile };
const sb_metric sb_metric_group_retrieval = { .key = "group_retrieval",
                                              .title = "group",
                                              .tells = 2,
                                              .share = true,
                                              .measure = group_retrieval,
                                              .chance = another_of_the_group };
