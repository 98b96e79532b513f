/* measure.c: see measure.h. */
#include "evaluator/measure.h"

#include <stdlib.h>

#include "evaluator/metrics/metrics.h"
#include "proto/error.h"
#include "proto/memory.h"

/* Labels and groups of the gallery's tiles, [tiles] each, malloc'ed in one piece. */
static uint32_t *facts_of(const sb_gallery *g, const sb_index *index)
{
    uint32_t *facts = sb_zeroed(2 * (size_t)g->tiles, sizeof *facts, "the labels and groups of tiles");
    for (int t = 0; facts && t < g->tiles; t++) {
        facts[t] = index->images[g->tile[t].image].label;
        facts[g->tiles + t] = index->images[g->tile[t].image].group;
    }
    return facts;
}

int sb_measure(float *clean, float *view, int width, const sb_gallery *g, const sb_index *index,
               sb_measures *m, uint32_t *nearest)
{
    size_t tiles = (size_t)g->tiles, views = tiles * (size_t)g->distorted;
    uint32_t *facts = facts_of(g, index);
    if (!facts)
        return -1;
    sb_metric_unit_rows(clean, tiles, width);
    sb_metric_unit_rows(view, views, width);
    *m = (sb_measures){ .view_retrieval = sb_metric_retrieval(clean, g->tiles, view, g->distorted, width,
                                                              nearest) };
    m->group_retrieval = sb_metric_group_retrieval(clean, facts + tiles, g->tiles, width);
    int rc = sb_metric_knn(clean, facts, g->tiles, width, SB_KNN_NEIGHBOURS, SB_KNN_TEMPERATURE, &m->knn1,
                           &m->knn5);
    for (int t = 0; t < g->tiles; t++)
        for (int d = 0; d < g->distorted; d++)
            m->alignment += sb_metric_alignment(
                clean + (size_t)t * (size_t)width,
                view + ((size_t)t * (size_t)g->distorted + (size_t)d) * (size_t)width, 1, width);
    m->alignment /= (double)views;
    m->uniformity = sb_metric_uniformity(clean, g->tiles, width);
    m->deviation = sb_metric_deviation(view, (int)views, width);
    m->rank = sb_metric_rankme(view, (int)views, width);
    free(facts);
    return rc == 0 && m->rank >= 0 ? 0 : -1;
}

int sb_measure_described(sb_describe describe, int width, const sb_gallery *g, const sb_index *index,
                         sb_measures *out)
{
    size_t tiles = (size_t)g->tiles, views = tiles * (size_t)g->distorted;
    size_t bytes = (size_t)g->side * (size_t)g->side * (size_t)g->channels;
    float *features = sb_zeroed((tiles + views) * (size_t)width, sizeof *features,
                                "the features of a baseline");
    if (!features)
        return -1;
    for (size_t i = 0; i < tiles + views; i++)
        describe(g->clean + i * bytes, g->side, g->channels, features + i * (size_t)width);
    int rc = sb_measure(features, features + tiles * (size_t)width, width, g, index, out, NULL);
    free(features);
    return rc;
}

int sb_measure_chance(const sb_gallery *g, const sb_index *index, sb_measures *m)
{
    uint32_t *facts = facts_of(g, index);
    if (!facts)
        return -1;
    *m = (sb_measures){ .view_retrieval = 1.0 / g->tiles,
                        .knn1 = sb_metric_chance(facts, g->tiles),
                        .group_retrieval = sb_metric_chance(facts + g->tiles, g->tiles),
                        .knn5 = -1 };
    free(facts);
    return 0;
}
