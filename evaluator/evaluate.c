/* evaluate.c: see evaluate.h. */
#include "evaluator/evaluate.h"

#include <limits.h>
#include <stdlib.h>

#include "evaluator/metrics/metrics.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"

/* Calibrates, encodes all views of the gallery, measures. */
static int measure(sb_evaluation *e, sb_measures *out)
{
    const sb_gallery *g = &e->gallery;
    int views = g->tiles * (1 + g->distorted), width = sb_encoder_width(e->encoder);
    if (sb_encoder_calibrate(e->encoder, g->clean, views) != 0 ||
        sb_encoder_features(e->encoder, g->clean, views, e->features) != 0)
        return -1;
    return sb_measure(e->features, e->features + (size_t)g->tiles * (size_t)width, width, g, &e->index, out);
}

int sb_evaluation_create(sb_evaluation *e, const char *run_dir, int threads)
{
    *e = (sb_evaluation){ .run_dir = run_dir };
    if (sb_settings_of_run(&e->config, run_dir, &e->config_text) != 0 ||
        sb_augment_keys_of_run(&e->sampling, run_dir) != 0 ||
        sb_index_read(&e->index, run_dir, &e->config.data) != 0 || sb_device_cpu(&e->device, threads) != 0 ||
        sb_gallery_create(&e->gallery, e->device, &e->index, &e->config) != 0)
        return -1;
    const sb_gallery *g = &e->gallery;
    sb_measures *row = e->report.row;
    if (sb_encoder_create(&e->encoder, e->device, &e->config, g->side) != 0)
        return -1;
    size_t tiles = (size_t)g->tiles, views = tiles * (size_t)g->distorted;
    e->features = sb_zeroed((tiles + views) * (size_t)sb_encoder_width(e->encoder), sizeof *e->features,
                            "the features of the held-out tiles");
    if (!e->features)
        return -1;
    e->report.tiles = g->tiles;
    e->report.views = g->distorted;
    e->report.size = g->side;
    if (sb_measure_chance(g, &e->index, &row[SB_ROW_CHANCE]) != 0 ||
        sb_measure_described(sb_baseline_colour, sb_baseline_colour_width(g->channels), g, &e->index,
                             &row[SB_ROW_COLOUR]) != 0 ||
        sb_measure_described(sb_baseline_pixels, sb_baseline_pixels_width(g->channels), g, &e->index,
                             &row[SB_ROW_PIXELS]) != 0)
        return -1;
    return measure(e, &row[SB_ROW_UNTRAINED]);
}

void sb_evaluation_free(sb_evaluation *e)
{
    free(e->features);
    free(e->config_text);
    sb_encoder_destroy(&e->encoder);
    sb_gallery_free(&e->gallery);
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

int sb_evaluation_measure(sb_evaluation *e) { return measure(e, &e->report.row[SB_ROW_TRAINED]); }
