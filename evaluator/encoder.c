/* encoder.c: see encoder.h. */
#include "evaluator/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/progress.h"
#include "trainer/checkpoint.h"
#include "trainer/encoder.h"
#include "trainer/graph/build.h"
#include "trainer/graph/plan.h"

/* Views that go through at once: about this many pixels, and at least 2 views. */
#define CHUNK_PIXELS (32 * 224 * 224)
#define GRID 8 /* places along a side of a map, at most */

struct sb_encoder {
    sb_device *device;
    sb_settings config;
    sb_store store; /* of a backbone alone */
    sb_section section;
    sb_graph *graph;
    sb_plan *plan;
    void *arena, *packed;
    uint8_t *pixels;
    float *statistics; /* of a chunk, laid out as the section's */
    int side, chunk, width;
    bool has_map; /* output 1 */
};

static int allocate(sb_encoder *e, size_t bytes, void *out)
{
    void *memory;
    if (e->device->alloc(e->device, bytes, &memory) != 0)
        return -1;
    memcpy(out, &memory, sizeof memory);
    return 0;
}

int sb_encoder_create(sb_encoder **out, sb_device *device, const sb_settings *config, int side)
{
    sb_encoder *e = sb_zeroed(1, sizeof *e, "an encoder");
    if (!e)
        return -1;
    e->device = device;
    e->config = *config;
    e->side = side;
    e->chunk = CHUNK_PIXELS / (side * side);
    e->chunk = e->chunk < 2 ? 2 : e->chunk > 64 ? 64 : e->chunk;
    sb_store_init(&e->store, device);
    int rc = sb_graph_create(&e->graph, &e->store);
    if (rc == 0) {
        sb_encoder_map map;
        sb_t features = sb_encoder_build_map(e->graph, config->encoder, config->encoder_keys, config, SB_F32,
                                             false, &map);
        e->width = sb_shape_of(e->graph, features).c;
        e->has_map = map.map >= 0;
        if (features < 0 ||
            (e->has_map &&
             sb_output(e->graph, sb_gridpool(e->graph, map.map, .first = map.prefix, .most = GRID), false) <
                 0))
            rc = -1;
        else
            rc = sb_section_create(&e->section, &e->store, NULL, false, config->common.seed, NULL);
    }
    const sb_shape pixels = { e->chunk, side, side, config->data.channels, SB_U8 };
    const sb_plan_options options = { .training = false };
    if (rc == 0)
        rc = sb_plan_create(&e->plan, e->graph, &pixels, &options) != 0
                 ? sb_context("views of %d x %d (data.view) cannot go through the encoder", side, side)
                 : 0;
    if (rc == 0 && (allocate(e, sb_plan_arena_bytes(e->plan), &e->arena) != 0 ||
                    allocate(e, sb_plan_packed_bytes(e->plan), &e->packed) != 0 ||
                    allocate(e, sb_shape_bytes(&pixels), &e->pixels) != 0 ||
                    (e->store.floats[SB_ENTRY_STATISTIC] > 0 &&
                     allocate(e, e->store.floats[SB_ENTRY_STATISTIC] * sizeof(float), &e->statistics) != 0)))
        rc = -1;
    if (rc == 0) {
        sb_plan_bind(e->plan, e->arena, e->packed);
        rc = sb_plan_pack(e->plan, &e->section);
    }
    if (rc != 0) {
        sb_encoder_destroy(&e);
        return -1;
    }
    *out = e;
    return 0;
}

void sb_encoder_destroy(sb_encoder **encoder)
{
    sb_encoder *e = *encoder;
    if (!e)
        return;
    void *memory[] = { e->arena, e->packed, e->pixels, e->statistics };
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (memory[i])
            e->device->release(e->device, memory[i]);
    sb_plan_destroy(&e->plan);
    sb_section_free(&e->section, &e->store);
    sb_graph_destroy(&e->graph);
    sb_store_free(&e->store);
    free(e);
    *encoder = NULL;
}

int sb_encoder_set(sb_encoder *e, const float *weight, size_t weight_floats, const float *statistic,
                   size_t statistic_floats)
{
    const size_t *floats = e->store.floats;
    if (weight_floats != floats[SB_ENTRY_WEIGHT] || statistic_floats != floats[SB_ENTRY_STATISTIC])
        return sb_fail("weights of another network: %zu weights and %zu statistics, expected %zu and %zu",
                       weight_floats, statistic_floats, floats[SB_ENTRY_WEIGHT], floats[SB_ENTRY_STATISTIC]);
    if (e->device->copy(e->device, SB_STREAM_COMPUTE, e->section.weight, weight,
                        weight_floats * sizeof(float), SB_TO_DEVICE) != 0 ||
        (statistic_floats > 0 &&
         e->device->copy(e->device, SB_STREAM_COMPUTE, e->section.statistic, statistic,
                         statistic_floats * sizeof(float), SB_TO_DEVICE) != 0))
        return -1;
    return sb_plan_pack(e->plan, &e->section);
}

static sb_checkpoint_view view_of(const sb_encoder *e)
{
    const size_t *floats = e->store.floats;
    return (sb_checkpoint_view){
        .store = &e->store,
        .parts = { { "", SB_ENTRY_WEIGHT, e->section.weight, floats[SB_ENTRY_WEIGHT] },
                   { "", SB_ENTRY_STATISTIC, e->section.statistic, floats[SB_ENTRY_STATISTIC] } },
        .part_count = 2
    };
}

int sb_encoder_load(sb_encoder *e, const char *run_dir, bool best, int64_t *step)
{
    sb_checkpoint_view view = view_of(e);
    int found = best ? sb_checkpoint_load_best(run_dir, &view) : sb_checkpoint_load_latest(run_dir, &view);
    if (found <= 0)
        return found;
    *step = view.step;
    return sb_plan_pack(e->plan, &e->section) == 0 ? 1 : -1;
}

int sb_encoder_load_given(sb_encoder *e, const char *run_dir)
{
    const sb_checkpoint_view view = view_of(e);
    int found = sb_checkpoint_load_given(run_dir, &view);
    return found <= 0 ? found : sb_plan_pack(e->plan, &e->section) == 0 ? 1 : -1;
}

/* Copies the views from `start` on into device memory; the last chunk is filled up with the first views. */
static int upload(sb_encoder *e, const uint8_t *views, int count, int start)
{
    size_t bytes = (size_t)e->side * (size_t)e->side * (size_t)e->config.data.channels;
    for (int i = 0; i < e->chunk; i++) {
        int view = (start + i) % count;
        if (e->device->copy(e->device, SB_STREAM_COMPUTE, e->pixels + (size_t)i * bytes,
                            views + (size_t)view * bytes, bytes, SB_TO_DEVICE) != 0)
            return -1;
    }
    return 0;
}

int sb_encoder_calibrate(sb_encoder *e, const uint8_t *views, int count)
{
    const sb_feed feed = { .section = &e->section, .leaf = { e->pixels } };
    size_t floats = e->store.floats[SB_ENTRY_STATISTIC];
    if (floats == 0)
        return 0;
    double *sum = sb_zeroed(floats, sizeof *sum, "the sums of statistics");
    double *square = sb_zeroed(floats, sizeof *square, "the sums of squared statistics");
    float *now = sb_zeroed(floats, sizeof *now, "the statistics of a chunk");
    if (!sum || !square || !now) {
        free(sum);
        free(square);
        free(now);
        return -1;
    }
    int rc = e->device->copy(e->device, SB_STREAM_COMPUTE, e->statistics, e->section.statistic,
                             floats * sizeof(float), SB_ON_DEVICE), /* those that nobody gathers stay */
        chunks = 0;
    sb_progress progress = sb_progress_begin("statistics of views", false);
    for (int start = 0; rc == 0 && start < count; start += e->chunk, chunks++) {
        sb_progress_show(&progress, (uint64_t)start, (uint64_t)count);
        if (upload(e, views, count, start) != 0 || sb_plan_forward(e->plan, &feed) != 0 ||
            sb_plan_statistics(e->plan, e->statistics) != 0 ||
            e->device->copy(e->device, SB_STREAM_COMPUTE, now, e->statistics, floats * sizeof(float),
                            SB_TO_HOST) != 0 ||
            e->device->wait(e->device, SB_STREAM_COMPUTE) != 0)
            rc = -1;
        for (size_t i = 0; rc == 0 && i < floats; i++) {
            sum[i] += now[i];
            square[i] += (double)now[i] * now[i];
        }
    }
    sb_progress_end(&progress);
    /* Total variance = mean of the variances within chunks + variance of the means between them. */
    for (int i = 0; rc == 0 && i < e->store.count; i++) {
        const sb_entry *t = &e->store.entries[i];
        for (size_t c = 0; sb_entry_gathered(t) && c < t->count / 2; c++) {
            size_t mean = t->offset + c, variance = mean + t->count / 2;
            double m = sum[mean] / chunks;
            now[mean] = (float)m;
            now[variance] = (float)(sum[variance] / chunks + fmax(square[mean] / chunks - m * m, 0));
        }
    }
    if (rc == 0)
        rc = e->device->copy(e->device, SB_STREAM_COMPUTE, e->section.statistic, now, floats * sizeof(float),
                             SB_TO_DEVICE);
    free(sum);
    free(square);
    free(now);
    return rc;
}

/* Output `output` of each view, of `floats` floats, into out. */
static int infer(sb_encoder *e, const uint8_t *views, int count, int output, size_t floats, float *out)
{
    const sb_feed feed = { .section = &e->section, .leaf = { e->pixels } };
    sb_progress progress = sb_progress_begin("encoding views", false);
    int rc = 0;
    for (int start = 0; rc == 0 && start < count; start += e->chunk) {
        sb_progress_show(&progress, (uint64_t)start, (uint64_t)count);
        size_t n = (size_t)(count - start < e->chunk ? count - start : e->chunk);
        if (upload(e, views, count, start) != 0 || sb_plan_infer(e->plan, &feed) != 0 ||
            e->device->copy(e->device, SB_STREAM_COMPUTE, out + (size_t)start * floats,
                            sb_plan_output(e->plan, output), n * floats * sizeof(float), SB_TO_HOST) != 0 ||
            e->device->wait(e->device, SB_STREAM_COMPUTE) != 0)
            rc = -1;
    }
    sb_progress_end(&progress);
    return rc;
}

int sb_encoder_features(sb_encoder *e, const uint8_t *views, int count, float *features)
{
    return infer(e, views, count, 0, (size_t)e->width, features);
}

int sb_encoder_width(const sb_encoder *e) { return e->width; }
int sb_encoder_grid(const sb_encoder *e) { return e->has_map ? sb_plan_output_shape(e->plan, 1).h : 0; }
int sb_encoder_places_width(const sb_encoder *e)
{
    return e->has_map ? sb_plan_output_shape(e->plan, 1).c : 0;
}

int sb_encoder_places(sb_encoder *e, const uint8_t *views, int count, float *map)
{
    const sb_shape shape = sb_plan_output_shape(e->plan, 1);
    return infer(e, views, count, 1, (size_t)shape.h * (size_t)shape.w * (size_t)shape.c, map);
}
