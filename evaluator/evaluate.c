/* evaluate.c: see evaluate.h. */
#include "evaluator/evaluate.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evaluator/metrics/metrics.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"

#define SIDE_MIN 16 /* as evaluate.size */
#define SIDE_MAX 1024

/* Calibrates, encodes all views of the gallery, measures. */
static int measure(sb_evaluation *e, sb_measures *out)
{
    const sb_gallery *g = &e->gallery;
    const int views = g->tiles * (1 + g->distorted), width = sb_encoder_width(e->encoder);
    sb_encoded encoded = { .clean = e->features,
                           .view = e->features + (size_t)g->tiles * (size_t)width,
                           .learnt_view = e->learnt,
                           .width = width,
                           .places = e->places };
    if (sb_encoder_calibrate(e->encoder, g->clean, views) != 0 ||
        sb_encoder_features(e->encoder, g->clean, views, e->features) != 0 ||
        sb_encoder_features(e->encoder, g->learnt_view, g->learnt, e->learnt) != 0 ||
        (e->places.tiles > 0 && sb_encoder_places(e->encoder, g->clean, e->places.tiles, e->map) != 0))
        return -1;
    return sb_measure(&encoded, e->device, g, &e->index, out);
}

/* grid: of the places that are looked at; 0: none are. */
static int take_memory(sb_evaluation *e, int grid)
{
    const sb_gallery *g = &e->gallery;
    const size_t tiles = (size_t)g->tiles, views = tiles * (size_t)g->distorted,
                 width = (size_t)sb_encoder_width(e->encoder);
    e->grid = grid;
    e->features = sb_zeroed((tiles + views) * width, sizeof *e->features,
                            "the features of the held-out tiles");
    e->learnt = sb_zeroed((size_t)g->learnt * width, sizeof *e->learnt, "the features of the labelled tiles");
    e->places = (sb_place_features){ .tiles = grid == 0                    ? 0
                                              : g->tiles < SB_PLACES_TILES ? g->tiles
                                                                           : SB_PLACES_TILES,
                                     .places = grid * grid,
                                     .width = sb_encoder_places_width(e->encoder) };
    e->map = sb_zeroed((size_t)e->places.tiles * (size_t)e->places.places * (size_t)e->places.width,
                       sizeof *e->map, "the features of places");
    e->places.feature = e->map;
    return e->features && e->learnt && e->map ? 0 : -1;
}

static int measure_described(sb_evaluation *e, sb_describe describe, int width, sb_row row)
{
    return sb_measure_described(describe, width, e->grid, e->device, &e->gallery, &e->index,
                                &e->report.row[row]);
}

/* What needs no training. The encoder holds the weights that it begins with. */
static int measure_beside(sb_evaluation *e)
{
    const sb_gallery *g = &e->gallery;
    sb_measures *row = e->report.row;
    if (sb_measure_chance(g, &e->index, &row[SB_ROW_CHANCE]) != 0 ||
        measure_described(e, sb_baseline_colour, sb_baseline_colour_width(g->channels), SB_ROW_COLOUR) != 0 ||
        measure_described(e, sb_baseline_pixels, sb_baseline_pixels_width(g->channels), SB_ROW_PIXELS) != 0)
        return -1;
    return measure(e, &row[SB_ROW_UNTRAINED]);
}

int sb_evaluation_create(sb_evaluation *e, const char *run_dir, int threads)
{
    *e = (sb_evaluation){ .run_dir = run_dir };
    if (sb_settings_of_run(&e->config, run_dir, &e->config_text) != 0 ||
        sb_augment_keys_of_run(&e->sampling, run_dir) != 0 ||
        sb_index_read(&e->index, run_dir, &e->config.data) != 0 || sb_device_cpu(&e->device, threads) != 0 ||
        sb_gallery_create(&e->gallery, e->device, &e->index, &e->config, NULL) != 0)
        return -1;
    const sb_gallery *g = &e->gallery;
    if (sb_encoder_create(&e->encoder, e->device, &e->config, g->side) != 0 ||
        take_memory(e, sb_encoder_grid(e->encoder)) != 0)
        return -1;
    e->report.tiles = g->tiles;
    e->report.views = g->distorted;
    e->report.size = g->side;
    e->report.learnt = g->learnt;
    for (int t = 0; t < g->tiles; t++)
        e->report.labelled += e->index.images[g->tile[t].image].label != UINT32_MAX;
    return measure_beside(e);
}

static void free_features(sb_evaluation *e)
{
    free(e->features);
    free(e->learnt);
    free(e->map);
    sb_encoder_destroy(&e->encoder);
    sb_gallery_free(&e->gallery);
}

void sb_evaluation_free(sb_evaluation *e)
{
    free_features(e);
    sb_gallery_free_sample(&e->sample);
    free(e->config_text);
    sb_device_close(&e->device);
    sb_index_free(&e->index);
    *e = (sb_evaluation){ 0 };
}

int sb_evaluation_measure_given(sb_evaluation *e)
{
    if (e->looked_for_given || e->config.start.init[0] == '\0')
        return 0;
    const int found = sb_encoder_load_given(e->encoder, e->run_dir);
    e->looked_for_given = true;
    if (found == 0)
        sb_note("%s was given %s and did not keep it: there is no row of it", e->run_dir,
                e->config.start.init);
    if (found <= 0)
        return found;
    e->report.given = true;
    return measure(e, &e->report.row[SB_ROW_GIVEN]);
}

/* Whether the rows of both are the same tiles in the same parts. Of columns the other one has its own. */
static bool same_tiles(const sb_index *a, const sb_index *b)
{
    bool same = a->count == b->count && a->tile == b->tile;
    for (uint32_t i = 0; i < a->count && same; i++) {
        const sb_image *x = &a->images[i], *y = &b->images[i];
        same = strcmp(sb_index_name(a, x), sb_index_name(b, y)) == 0 && x->page == y->page &&
               x->bytes == y->bytes && memcmp(&x->train, &y->train, sizeof x->train) == 0 &&
               memcmp(&x->test, &y->test, sizeof x->test) == 0 &&
               (!x->placed || (x->left == y->left && x->top == y->top));
    }
    return same;
}

/* 1: the run in `dir` is finished, and of the same tiles. 0: it is not, and it is said why; -1. */
static int is_comparable(const sb_evaluation *e, const char *dir, int64_t step)
{
    static sb_settings settings;
    sb_index index;
    if (sb_settings_of_run(&settings, dir, NULL) != 0 || sb_index_read(&index, dir, &settings.data) != 0)
        return -1;
    const bool same = same_tiles(&e->index, &index);
    sb_index_free(&index);
    if (!same)
        sb_note("%s was trained on other tiles, or with others held out: there is no row of it. Remove it to "
                "have it trained again",
                dir);
    else if (step < e->config.trainer.steps)
        sb_note("%s has done %" PRId64 " of %" PRId64
                " steps: there is no row of it (./run evaluate --supervised goes on with it)",
                dir, step, e->config.trainer.steps);
    return same && step >= e->config.trainer.steps;
}

int sb_evaluation_measure_supervised(sb_evaluation *e)
{
    char dir[PATH_MAX];
    int64_t step;
    if (e->looked_for_supervised || sb_rundir_path(dir, e->run_dir, "supervised") != 0)
        return e->looked_for_supervised ? 0 : -1;
    e->looked_for_supervised = true;
    if (access(dir, F_OK) != 0)
        return 0;
    int rc = sb_encoder_load(e->encoder, dir, false, &step);
    if (rc == 1)
        rc = is_comparable(e, dir, step);
    if (rc < 0)
        sb_note("%s: there is no row of %s", sb_error(), dir);
    e->report.supervised = rc == 1;
    return rc == 1 ? measure(e, &e->report.row[SB_ROW_SUPERVISED]) : 0;
}

int sb_evaluation_measure(sb_evaluation *e) { return measure(e, &e->report.row[SB_ROW_TRAINED]); }

/* All rows with views of another side: one distorted view of each tile, no places, nothing that learns from
 * labels. 1; 0: views of this side cannot go through the encoder; -1. */
static int measure_side(const sb_evaluation *e, int side, sb_measures *row)
{
    sb_evaluation part = { .config = e->config, .index = e->index, .device = e->device };
    int64_t step;
    char dir[PATH_MAX];
    part.config.evaluate.size = side;
    part.config.evaluate.views = 1;
    part.config.evaluate.labelled = 0;
    if (sb_encoder_create(&part.encoder, e->device, &part.config, side) != 0)
        return 0;
    int rc = sb_gallery_create(&part.gallery, e->device, &e->index, &part.config, &e->gallery);
    if (rc == 0 && (take_memory(&part, 0) != 0 || measure_beside(&part) != 0))
        rc = -1;
    if (rc == 0 && e->report.given &&
        (sb_encoder_load_given(part.encoder, e->run_dir) != 1 ||
         measure(&part, &part.report.row[SB_ROW_GIVEN]) != 0))
        rc = -1;
    if (rc == 0 && e->report.supervised &&
        (sb_rundir_path(dir, e->run_dir, "supervised") != 0 ||
         sb_encoder_load(part.encoder, dir, false, &step) != 1 ||
         measure(&part, &part.report.row[SB_ROW_SUPERVISED]) != 0))
        rc = -1;
    if (rc == 0 && (sb_encoder_load(part.encoder, e->run_dir, false, &step) != 1 ||
                    measure(&part, &part.report.row[SB_ROW_TRAINED]) != 0))
        rc = -1;
    for (int i = 0; rc == 0 && i < SB_ROWS; i++)
        row[i] = part.report.row[i];
    free_features(&part);
    return rc == 0 ? 1 : -1;
}

int sb_evaluation_measure_sizes(sb_evaluation *e)
{
    const int sides[SB_OTHER_SIZES] = { e->report.size / 2, e->report.size * 2 };
    e->report.others = 0;
    for (int i = 0; i < SB_OTHER_SIZES; i++) {
        sb_report_size *other = &e->report.other[e->report.others];
        if (sides[i] < SIDE_MIN || sides[i] > SIDE_MAX)
            continue;
        other->size = sides[i];
        const int rc = measure_side(e, sides[i], other->row);
        if (rc < 0)
            return sb_context("views of %d pixels", sides[i]);
        if (rc == 0)
            sb_note("views of %d pixels are left out: %s", sides[i], sb_error());
        e->report.others += rc;
    }
    return 0;
}
