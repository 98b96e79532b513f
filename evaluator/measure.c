/* measure.c: see measure.h. */
#include "evaluator/measure.h"

#include <stdlib.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/spread.h"

#define SB_METRIC(NAME, name) [SB_METRIC_##NAME] = &sb_metric_##name,
const sb_metric *const sb_metrics[SB_METRICS] = {
#include "evaluator/metrics/metrics.def"
};
#undef SB_METRIC

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

static sb_features features_of(const sb_gallery *g, const uint32_t *facts)
{
    return (sb_features){
        .tiles = g->tiles, .distorted = g->distorted, .label = facts, .group = facts + g->tiles
    };
}

int sb_measure(float *clean, float *view, int width, const sb_gallery *g, const sb_index *index,
               sb_measures *m)
{
    size_t tiles = (size_t)g->tiles, views = tiles * (size_t)g->distorted;
    uint32_t *facts = facts_of(g, index);
    if (!facts)
        return -1;
    sb_spread_unit(clean, tiles, width);
    sb_spread_unit(view, views, width);
    sb_features f = features_of(g, facts);
    f.clean = clean;
    f.view = view;
    f.width = width;
    int rc = 0;
    for (int k = 0; k < SB_METRICS && rc == 0; k++)
        if (sb_metrics[k]->measure(&f, &m->value[k]) != 0)
            rc = sb_context("%s", sb_metrics[k]->title);
    free(facts);
    return rc;
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
    int rc = sb_measure(features, features + tiles * (size_t)width, width, g, index, out);
    free(features);
    return rc;
}

int sb_measure_chance(const sb_gallery *g, const sb_index *index, sb_measures *m)
{
    uint32_t *facts = facts_of(g, index);
    if (!facts)
        return -1;
    const sb_features f = features_of(g, facts);
    for (int k = 0; k < SB_METRICS; k++)
        m->value[k] = sb_metrics[k]->chance ? sb_metrics[k]->chance(&f) : 0;
    free(facts);
    return 0;
}
