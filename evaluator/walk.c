/* walk.c: see walk.h. */
#include "evaluator/walk.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "augment/view.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"
#include "trainer/checkpoint.h"

#define NOTE_NS 10000000000ull

int sb_walk_create(sb_walk *w, const char *run_dir, bool best, const sb_settings *config,
                   const sb_index *index, int threads)
{
    const int tile = config->data.tile, channels = config->data.channels,
              side = config->evaluate.size ? config->evaluate.size : config->data.view;
    *w = (sb_walk){
        .index = index, .tile = tile, .side = side, .channels = channels, .unusable = UINT32_MAX
    };
    if (sb_device_cpu(&w->device, threads) != 0 ||
        sb_encoder_create(&w->encoder, w->device, config, side) != 0 ||
        sb_decoder_create(&w->decoder, &config->data.samples, sb_index_largest(index, channels),
                          config->data.untrusted) != 0 ||
        w->device->alloc(w->device, sb_view_scratch(w->device, sb_view_tile(tile, tile, channels), 1, side),
                         &w->scratch) != 0)
        return -1;
    w->pixels = sb_zeroed((size_t)tile * (size_t)tile, (size_t)channels, "a tile's pixels");
    w->views = sb_zeroed(SB_WALK_BATCH * (size_t)side * (size_t)side, (size_t)channels,
                         "the views of a batch");
    w->features = sb_zeroed(SB_WALK_BATCH * (size_t)sb_encoder_width(w->encoder), sizeof *w->features,
                            "the features of a batch");
    if (!w->pixels || !w->views || !w->features)
        return -1;
    const int found = sb_encoder_load(w->encoder, run_dir, best, &w->step);
    if (found == 0 && best)
        return sb_checkpoint_fail_best(run_dir);
    return found == 0 ? sb_fail("%s has no checkpoint yet", run_dir) : found < 0 ? -1 : 0;
}

void sb_walk_free(sb_walk *w)
{
    if (w->scratch)
        w->device->release(w->device, w->scratch);
    free(w->pixels);
    free(w->views);
    free(w->features);
    sb_decoder_destroy(&w->decoder);
    sb_encoder_destroy(&w->encoder);
    sb_device_close(&w->device);
    *w = (sb_walk){ 0 };
}

int sb_walk_view(sb_walk *w, const sb_tile *tile, uint8_t *out)
{
    const sb_image *image = &w->index->images[tile->image];
    char path[PATH_MAX];
    const sb_decode_source source = sb_index_source(w->index, image, path);
    uint64_t read_ns = 0, decode_ns = 0;
    if (image->file == w->unusable)
        return 0;
    const int bad = sb_decoder_tile(w->decoder, &source, tile->left, tile->top, w->tile, w->pixels, &read_ns,
                                    &decode_ns);
    if (bad > 0)
        sb_note("left out: %s", sb_error());
    if (bad > 0 && bad != SB_DECODE_TILE)
        w->unusable = image->file;
    if (bad != 0)
        return bad < 0 ? -1 : 0;
    sb_view_params params;
    sb_view_clean(w->tile, w->tile, w->side, &params);
    const sb_view_how how = { .params = &params, .count = 1, .out = &out, .max_size = w->side };
    return sb_view(w->device, &how, sb_view_tile(w->tile, w->tile, w->channels), w->pixels, w->scratch) != 0
               ? -1
               : 1;
}

static int encode(sb_walk *w, sb_walk_taker take, void *context)
{
    if (w->waiting_count == 0)
        return 0;
    if (sb_encoder_features(w->encoder, w->views, w->waiting_count, w->features) != 0 ||
        take(context, w->waiting, w->waiting_count, w->features) != 0)
        return -1;
    w->tiles += (uint64_t)w->waiting_count;
    w->waiting_count = 0;
    if (sb_now() - w->noted >= NOTE_NS) {
        w->noted = sb_now();
        sb_note("%" PRIu64 " tile%s, %.1f a second", w->tiles, sb_plural(w->tiles),
                (double)w->tiles * 1e9 / (double)(w->noted - w->begun));
    }
    return 0;
}

static int add(sb_walk *w, sb_tile tile, sb_walk_taker take, void *context)
{
    const size_t bytes = (size_t)w->side * (size_t)w->side * (size_t)w->channels;
    const int rc = sb_walk_view(w, &tile, w->views + (size_t)w->waiting_count * bytes);
    if (rc <= 0) {
        w->left_out += rc == 0;
        return rc;
    }
    w->waiting[w->waiting_count++] = tile;
    return w->waiting_count == SB_WALK_BATCH ? encode(w, take, context) : 0;
}

static int add_image(sb_walk *w, uint32_t i, sb_walk_taker take, void *context)
{
    const sb_image *image = &w->index->images[i];
    if (image->placed)
        return add(w, (sb_tile){ i, image->left, image->top }, take, context);
    const int columns = image->width / w->tile, rows = image->height / w->tile;
    for (int y = 0; y < (rows ? rows : 1); y++)
        for (int x = 0; x < (columns ? columns : 1); x++)
            if (add(w, (sb_tile){ i, x * w->tile, y * w->tile }, take, context) != 0)
                return -1;
    return 0;
}

int sb_walk_all(sb_walk *w, sb_walk_taker take, void *context)
{
    w->begun = w->noted = sb_now();
    for (uint32_t i = 0; i < w->index->count; i++)
        if (add_image(w, i, take, context) != 0)
            return -1;
    if (encode(w, take, context) != 0)
        return -1;
    return w->tiles == 0 ? sb_fail("none of %" PRIu32 " images can be decoded", w->index->count) : 0;
}

typedef struct {
    sb_walked *walked;
    size_t width;
} gathering;

/* sb_walk_taker */
static int gather(void *context, const sb_tile *tile, int tiles, const float *features)
{
    const gathering *g = context;
    sb_walked *w = g->walked;
    const size_t now = (size_t)w->tiles, all = now + (size_t)tiles;
    if (all > INT_MAX)
        return sb_fail("more than %d tiles", INT_MAX);
    if (all > w->room) {
        sb_tile *more_tiles = sb_grown(w->tile, 2 * all, sizeof *w->tile, "the tiles of a data set");
        w->tile = more_tiles ? more_tiles : w->tile;
        float *more = sb_grown(w->feature, 2 * all * g->width, sizeof *w->feature,
                               "the features of a data set");
        w->feature = more ? more : w->feature;
        if (!more_tiles || !more)
            return -1;
        w->room = 2 * all;
    }
    memcpy(w->tile + now, tile, (size_t)tiles * sizeof *tile);
    memcpy(w->feature + now * g->width, features, (size_t)tiles * g->width * sizeof *features);
    w->tiles = (int)all;
    return 0;
}

int sb_walk_gather(sb_walk *w, sb_walked *out)
{
    gathering g = { out, (size_t)sb_encoder_width(w->encoder) };
    *out = (sb_walked){ 0 };
    return sb_walk_all(w, gather, &g);
}
