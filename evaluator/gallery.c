/* gallery.c: see gallery.h. */
#include "evaluator/gallery.h"

#include <stdlib.h>
#include <string.h>

#include "augment/view.h"
#include "loader/readers/decoder.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/random.h"

#define GALLERY_BYTES (2ull << 30) /* of views; more tiles than fit are left out with a note */

static const sb_view_keys distortion = {
    .crop_min = 0.2,
    .crop_max = 1,
    .ratio_min = 3.0 / 4,
    .ratio_max = 4.0 / 3,
    .flip = 0.5,
    .jitter = 0.5,
    .brightness = 0.4,
    .contrast = 0.4,
    .saturation = 0.4,
    .hue = 0.1,
    .grey = 0.2,
    .blur = 0.5,
    .blur_min = 0.1,
    .blur_max = 2,
    .solarise = 0,
    .solarise_threshold = 0.5,
};

/* Views of one decoded tile: the clean one to place t, the distorted ones behind. */
static int make_views(sb_gallery *g, sb_device *device, const uint8_t *pixels, int tile, int t, int number,
                      void *scratch)
{
    sb_view_params params[1 + SB_VIEWS_MAX];
    uint8_t *out[1 + SB_VIEWS_MAX];
    size_t bytes = (size_t)g->side * (size_t)g->side * (size_t)g->channels;
    sb_view_keys config = distortion;
    config.side = g->side;
    sb_view_clean(tile, tile, g->side, &params[0]);
    out[0] = g->clean + (size_t)t * bytes;
    for (int d = 0; d < g->distorted; d++) {
        sb_random random;
        sb_random_init(&random, 0, SB_RANDOM_EVALUATE, (uint32_t)number, (uint32_t)d, 0);
        sb_view_draw(&config, tile, tile, &random, &params[1 + d]);
        out[1 + d] = g->view + ((size_t)t * (size_t)g->distorted + (size_t)d) * bytes;
    }
    const sb_view_how how = { .params = params, .count = 1 + g->distorted, .out = out, .max_size = g->side };
    return sb_view(device, &how, sb_view_tile(tile, tile, g->channels), pixels, scratch);
}

int sb_gallery_create(sb_gallery *g, sb_device *device, const sb_index *index, const sb_settings *config)
{
    int tile = config->data.tile, side = config->evaluate.size ? config->evaluate.size : config->data.view;
    size_t tile_bytes = (size_t)tile * (size_t)tile * (size_t)config->data.channels;
    size_t bytes = (size_t)side * (size_t)side * (size_t)config->data.channels;
    *g = (sb_gallery){ .distorted = config->evaluate.views, .side = side, .channels = config->data.channels };
    if (g->distorted > SB_VIEWS_MAX)
        return sb_fail("evaluate.views = %d: at most %d", g->distorted, SB_VIEWS_MAX);
    int most = config->evaluate.max_tiles;
    size_t fit = GALLERY_BYTES / (bytes * (size_t)(1 + g->distorted));
    if ((size_t)most > fit)
        most = (int)fit;
    int wanted = sb_index_test_tiles(index, most, &g->tile);
    if (wanted < 0)
        return -1;
    sb_decoder *decoder = NULL;
    void *scratch = NULL;
    uint8_t *pixels = sb_zeroed(tile_bytes, 1, "a tile's pixels");
    g->clean = sb_zeroed((size_t)wanted * (size_t)(1 + g->distorted), bytes, "the views of held-out tiles");
    int rc = pixels && g->clean ? 0 : -1;
    if (rc == 0)
        rc = sb_decoder_create(&decoder, &config->data.samples,
                               sb_index_largest(index, config->data.channels), config->data.untrusted);
    sb_shape tile_shape = sb_view_tile(tile, tile, g->channels);
    if (rc == 0)
        rc = device->alloc(device, sb_view_scratch(device, tile_shape, 1 + g->distorted, side), &scratch);
    g->view = g->clean ? g->clean + (size_t)wanted * bytes : NULL;
    uint32_t unusable = UINT32_MAX; /* the last image that cannot be decoded: its other tiles are not tried */
    for (int i = 0; rc == 0 && i < wanted; i++) {
        const sb_image *image = &index->images[g->tile[i].image];
        if (image->file == unusable)
            continue;
        char path[PATH_MAX];
        sb_decode_source source = sb_index_source(index, image, path);
        uint64_t read_ns = 0, decode_ns = 0;
        int bad = sb_decoder_tile(decoder, &source, g->tile[i].left, g->tile[i].top, tile, pixels, &read_ns,
                                  &decode_ns);
        if (bad < 0) {
            rc = -1;
        } else if (bad > 0) {
            sb_note("held-out %s left out: %s", bad == SB_DECODE_TILE ? "tile" : "tiles", sb_error());
            if (bad != SB_DECODE_TILE)
                unusable = image->file;
        } else {
            g->tile[g->tiles] = g->tile[i];
            rc = make_views(g, device, pixels, tile, g->tiles, i, scratch);
            g->tiles++;
        }
    }
    if (rc == 0 && g->tiles < 2)
        rc = sb_fail("%d held-out tiles, an evaluation needs 2 and should have 24: images must be three "
                     "tiles (data.tile = %d) long to "
                     "give a held-out strip, or there must be at least 10 of them",
                     g->tiles, tile);
    if (rc == 0 && g->tiles < wanted) /* close the gap between the clean views and the others */
        memmove(g->clean + (size_t)g->tiles * bytes, g->view,
                (size_t)g->tiles * (size_t)g->distorted * bytes);
    g->view = g->clean ? g->clean + (size_t)g->tiles * bytes : NULL;
    if (scratch)
        device->release(device, scratch);
    sb_decoder_destroy(&decoder);
    free(pixels);
    if (rc != 0)
        sb_gallery_free(g);
    return rc;
}

void sb_gallery_free(sb_gallery *g)
{
    free(g->tile);
    free(g->clean);
    *g = (sb_gallery){ 0 };
}
