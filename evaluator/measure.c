/* measure.c: see measure.h. */
#include "evaluator/measure.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "trainer/spread.h"

#define SB_METRIC(NAME, name) [SB_METRIC_##NAME] = &sb_metric_##name,
const sb_metric *const sb_metrics[SB_METRICS] = {
#include "evaluator/metrics/metrics.def"
};
#undef SB_METRIC

/* Labels and groups of the gallery's tiles, and of those of the training part behind them: malloc'ed in one
 * piece, with which `out` is filled but for features. */
static uint32_t *features_of(const sb_gallery *g, const sb_index *index, sb_features *out)
{
    const size_t held = (size_t)g->tiles, learnt = (size_t)g->learnt;
    uint32_t *facts = sb_zeroed(2 * (held + learnt), sizeof *facts, "the labels and groups of tiles");
    if (!facts)
        return NULL;
    uint32_t *label = facts + 2 * held, *group = label + learnt;
    for (size_t t = 0; t < held; t++) {
        facts[t] = index->images[g->tile[t].image].label;
        facts[held + t] = index->images[g->tile[t].image].group;
    }
    for (size_t t = 0; t < learnt; t++) {
        label[t] = index->images[g->learnt_tile[t].image].label;
        group[t] = index->images[g->learnt_tile[t].image].group;
    }
    *out = (sb_features){ .tiles = g->tiles,
                          .distorted = g->distorted,
                          .label = facts,
                          .group = facts + held,
                          .learnt = { .tiles = g->learnt, .label = label, .group = group } };
    return facts;
}

int sb_measure(sb_encoded *e, sb_device *device, const sb_gallery *g, const sb_index *index, sb_measures *m)
{
    const size_t tiles = (size_t)g->tiles, views = tiles * (size_t)g->distorted, width = (size_t)e->width;
    sb_features f;
    uint32_t *facts = features_of(g, index, &f);
    float *plain = sb_zeroed(tiles * width, sizeof *plain, "the features of tiles");
    int rc = facts && plain ? 0 : -1;
    if (rc == 0) {
        memcpy(plain, e->clean, tiles * width * sizeof *plain);
        sb_spread_unit(e->clean, tiles, e->width);
        sb_spread_unit(e->view, views, e->width);
        f.clean = e->clean;
        f.view = e->view;
        f.plain = plain;
        f.width = e->width;
        f.learnt.feature = e->learnt_view;
        f.places = e->places;
        f.device = device;
    }
    for (int k = 0; rc == 0 && k < SB_METRICS; k++)
        if (sb_metrics[k]->measure && sb_metrics[k]->measure(&f, &m->value[k]) != 0)
            rc = sb_context("%s", sb_metrics[k]->title);
    free(plain);
    free(facts);
    return rc;
}

/* Cuts the first clean tiles into squares and describes them. */
static int describe_places(sb_describe describe, int width, int grid, const sb_gallery *g, float *out)
{
    const int side = g->side / grid, tiles = g->tiles < SB_PLACES_TILES ? g->tiles : SB_PLACES_TILES;
    const size_t row = (size_t)g->side * (size_t)g->channels, part = (size_t)side * (size_t)g->channels;
    uint8_t *square = sb_zeroed((size_t)side, part, "a square of a view");
    for (int i = 0; square && i < tiles * grid * grid; i++) {
        const size_t tile = (size_t)(i / (grid * grid)), y = (size_t)(i / grid % grid),
                     x = (size_t)(i % grid);
        for (size_t line = 0; line < (size_t)side; line++)
            memcpy(square + line * part,
                   g->clean + (tile * (size_t)g->side + y * (size_t)side + line) * row + x * part, part);
        describe(square, side, g->channels, out + (size_t)i * (size_t)width);
    }
    free(square);
    return square ? 0 : -1;
}

int sb_measure_described(sb_describe describe, int width, int grid, sb_device *device, const sb_gallery *g,
                         const sb_index *index, sb_measures *out)
{
    const size_t tiles = (size_t)g->tiles, views = tiles * (size_t)g->distorted, learnt = (size_t)g->learnt;
    const size_t bytes = (size_t)g->side * (size_t)g->side * (size_t)g->channels, floats = (size_t)width;
    const int seen = grid == 0 ? 0 : g->tiles < SB_PLACES_TILES ? g->tiles : SB_PLACES_TILES;
    const size_t places = (size_t)seen * (size_t)grid * (size_t)grid;
    float *features = sb_zeroed((tiles + views + learnt + places) * floats, sizeof *features,
                                "the features of a baseline");
    if (!features)
        return -1;
    float *learnt_view = features + (tiles + views) * floats, *place = learnt_view + learnt * floats;
    for (size_t i = 0; i < tiles + views; i++)
        describe(g->clean + i * bytes, g->side, g->channels, features + i * floats);
    for (size_t i = 0; i < learnt; i++)
        describe(g->learnt_view + i * bytes, g->side, g->channels, learnt_view + i * floats);
    sb_encoded e = { .clean = features,
                     .view = features + tiles * floats,
                     .learnt_view = learnt_view,
                     .width = width,
                     .places = { .tiles = seen, .places = grid * grid, .width = width, .feature = place } };
    int rc = seen > 0 ? describe_places(describe, width, grid, g, place) : 0;
    if (rc == 0)
        rc = sb_measure(&e, device, g, index, out);
    free(features);
    return rc;
}

int sb_measure_chance(const sb_gallery *g, const sb_index *index, sb_measures *m)
{
    sb_features f;
    uint32_t *facts = features_of(g, index, &f);
    if (!facts)
        return -1;
    for (int k = 0; k < SB_METRICS; k++)
        m->value[k] = sb_metrics[k]->chance ? sb_metrics[k]->chance(&f) : SB_LACKS;
    free(facts);
    return 0;
}
