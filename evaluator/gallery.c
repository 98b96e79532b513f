/* gallery.c: see gallery.h. */
#include "evaluator/gallery.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "augment/view.h"
#include "loader/readers/decoder.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/random.h"

#define GALLERY_BYTES (2ull << 30) /* of views of either part; tiles that do not fit are left out */

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

/* What tiles go through: decoded into `pixels`, then views of `side`. */
typedef struct {
    sb_device *device;
    sb_decoder *decoder;
    const sb_index *index;
    int tile, side, channels;
    void *scratch;
    uint8_t *pixels;
    const char *name;  /* of the tiles, in a note; NULL: none is made */
    uint32_t unusable; /* the last image that cannot be decoded: its other tiles are not tried */
} camera;

static int camera_create(camera *c, sb_device *device, const sb_index *index, const sb_settings *config,
                         int side)
{
    const int tile = config->data.tile, channels = config->data.channels;
    *c = (camera){ .device = device, .index = index, .tile = tile, .side = side, .channels = channels };
    c->pixels = sb_zeroed((size_t)tile * (size_t)tile, (size_t)channels, "a tile's pixels");
    return !c->pixels || sb_decoder_create(&c->decoder, &config->data.samples,
                                           sb_index_largest(index, channels), config->data.untrusted) != 0
               ? -1
               : device->alloc(
                     device,
                     sb_view_scratch(device, sb_view_tile(tile, tile, channels), 1 + SB_VIEWS_MAX, side),
                     &c->scratch);
}

static void camera_free(camera *c)
{
    if (c->scratch)
        c->device->release(c->device, c->scratch);
    sb_decoder_destroy(&c->decoder);
    free(c->pixels);
}

/* 1: the tile is in c->pixels; 0: it cannot be decoded, which is noted where the tiles have a name; -1. */
static int take(camera *c, const sb_tile *tile)
{
    const sb_image *image = &c->index->images[tile->image];
    if (image->file == c->unusable)
        return 0;
    char path[PATH_MAX];
    const sb_decode_source source = sb_index_source(c->index, image, path);
    uint64_t read_ns = 0, decode_ns = 0;
    const int bad = sb_decoder_tile(c->decoder, &source, tile->left, tile->top, c->tile, c->pixels, &read_ns,
                                    &decode_ns);
    if (bad > 0 && c->name)
        sb_note("%s %s left out: %s", c->name, bad == SB_DECODE_TILE ? "tile" : "tiles", sb_error());
    if (bad > 0 && bad != SB_DECODE_TILE)
        c->unusable = image->file;
    return bad < 0 ? -1 : bad == 0;
}

/* Views of what was taken: the clean one to `clean`, `distorted` others, of tile `number`, to `view` on. */
static int show(camera *c, uint8_t *clean, uint8_t *view, int distorted, int number)
{
    sb_view_params params[1 + SB_VIEWS_MAX];
    uint8_t *out[1 + SB_VIEWS_MAX] = { clean };
    const size_t bytes = (size_t)c->side * (size_t)c->side * (size_t)c->channels;
    sb_view_keys config = distortion;
    config.side = c->side;
    sb_view_clean(c->tile, c->tile, c->side, &params[0]);
    for (int d = 0; d < distorted; d++) {
        sb_random random;
        sb_random_init(&random, 0, SB_RANDOM_EVALUATE, (uint32_t)number, (uint32_t)d, 0);
        sb_view_draw(&config, c->tile, c->tile, &random, &params[1 + d]);
        out[1 + d] = view + (size_t)d * bytes;
    }
    const sb_view_how how = { .params = params, .count = 1 + distorted, .out = out, .max_size = c->side };
    return sb_view(c->device, &how, sb_view_tile(c->tile, c->tile, c->channels), c->pixels, c->scratch);
}

/* ---- held-out tiles --------------------------------------------------------------------------------------- */

/* The held-out tiles, or those of another gallery, at most `most`, into g->tile. Returns how many; -1. */
static int choose_held(sb_gallery *g, const sb_index *index, const sb_gallery *of, int most)
{
    if (!of)
        return sb_index_test_tiles(index, most, &g->tile);
    const int count = of->tiles < most ? of->tiles : most;
    g->tile = sb_grown(NULL, (size_t)count, sizeof *g->tile, "the held-out tiles");
    if (!g->tile)
        return -1;
    memcpy(g->tile, of->tile, (size_t)count * sizeof *g->tile);
    return count;
}

static int take_held(sb_gallery *g, camera *c, const sb_gallery *of, int most)
{
    const size_t bytes = (size_t)g->side * (size_t)g->side * (size_t)g->channels;
    const int wanted = choose_held(g, c->index, of, most);
    if (wanted < 0)
        return -1;
    g->clean = sb_zeroed((size_t)wanted * (size_t)(1 + g->distorted), bytes, "the views of held-out tiles");
    g->view = g->clean ? g->clean + (size_t)wanted * bytes : NULL;
    int rc = g->clean ? 0 : -1;
    c->name = "held-out";
    c->unusable = UINT32_MAX;
    for (int i = 0; rc >= 0 && i < wanted; i++) {
        rc = take(c, &g->tile[i]);
        if (rc != 1)
            continue;
        g->tile[g->tiles] = g->tile[i];
        rc = show(c, g->clean + (size_t)g->tiles * bytes,
                  g->view + (size_t)g->tiles * (size_t)g->distorted * bytes, g->distorted, i);
        g->tiles++;
    }
    if (rc < 0)
        return -1;
    if (g->tiles < SB_HELD_LEAST)
        return sb_index_fail_held(g->tiles, c->tile);
    if (g->tiles < wanted) /* close the gap between the clean views and the others */
        memmove(g->clean + (size_t)g->tiles * bytes, g->view,
                (size_t)g->tiles * (size_t)g->distorted * bytes);
    g->view = g->clean + (size_t)g->tiles * bytes;
    return 0;
}

/* ---- tiles of the training part --------------------------------------------------------------------------- */

static sb_tile training_tile(const sb_index *index, uint32_t i, int64_t number)
{
    const sb_image *image = &index->images[i];
    const int columns = sb_image_columns(image, index->tile);
    return image->placed ? (sb_tile){ i, image->left, image->top }
                         : (sb_tile){ i, image->train.left + (int)(number % columns) * index->tile,
                                      image->train.top + (int)(number / columns) * index->tile };
}

/* How many tiles of an image are meant. */
typedef int64_t (*count_of)(const sb_image *image);
static int64_t all_of(const sb_image *image) { return image->tiles; }
static int64_t labelled_of(const sb_image *image) { return image->label == UINT32_MAX ? 0 : image->tiles; }

static int64_t count_all(const sb_index *index, count_of tiles_of)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < index->count; i++)
        total += tiles_of(&index->images[i]);
    return total;
}

/* Of all of them `most`, spread evenly, malloc'ed. Returns how many; -1. */
static int choose(const sb_index *index, count_of tiles_of, int most, sb_tile **out)
{
    const int64_t total = count_all(index, tiles_of), count = total < most ? total : most;
    *out = sb_grown(NULL, (size_t)count, sizeof **out, "the tiles of the training part");
    if (!*out)
        return -1;
    uint32_t image = 0;
    int64_t before = 0;
    for (int64_t k = 0; k < count; k++) {
        const int64_t at = total / count * k + total % count * k / count;
        for (; at - before >= tiles_of(&index->images[image]); image++)
            before += tiles_of(&index->images[image]);
        (*out)[k] = training_tile(index, image, at - before);
    }
    return (int)count;
}

/* Clean views of `wanted` tiles, malloc'ed, of which those stay, in front, that can be decoded. Returns how
 * many; -1. */
static int view_all(camera *c, const char *name, int wanted, sb_tile *tile, uint8_t **out)
{
    const size_t bytes = (size_t)c->side * (size_t)c->side * (size_t)c->channels;
    int rc = 0, taken = 0;
    *out = sb_zeroed((size_t)wanted, bytes, "the views of the training part");
    c->name = name;
    c->unusable = UINT32_MAX;
    for (int i = 0; *out && rc >= 0 && i < wanted; i++) {
        rc = take(c, &tile[i]);
        if (rc != 1)
            continue;
        tile[taken] = tile[i];
        rc = show(c, *out + (size_t)taken * bytes, NULL, 0, i);
        taken++;
    }
    return !*out || rc < 0 ? -1 : taken;
}

static int take_learnt(sb_gallery *g, camera *c, int most)
{
    const int wanted = choose(c->index, labelled_of, most, &g->learnt_tile);
    const int taken = wanted < 0 ? -1 : view_all(c, "labelled", wanted, g->learnt_tile, &g->learnt_view);
    g->learnt = taken < 0 ? 0 : taken;
    return taken < 0 ? -1 : 0;
}

static int smaller(int a, size_t b) { return (size_t)a < b ? a : (int)b; }

int sb_gallery_create(sb_gallery *g, sb_device *device, const sb_index *index, const sb_settings *config,
                      const sb_gallery *of)
{
    const int side = config->evaluate.size ? config->evaluate.size : config->data.view;
    const size_t bytes = (size_t)side * (size_t)side * (size_t)config->data.channels;
    *g = (sb_gallery){ .distorted = config->evaluate.views, .side = side, .channels = config->data.channels };
    if (g->distorted > SB_VIEWS_MAX)
        return sb_fail("evaluate.views = %d: at most %d", g->distorted, SB_VIEWS_MAX);
    camera c;
    int rc = camera_create(&c, device, index, config, side);
    if (rc == 0)
        rc = take_held(
            g, &c, of,
            smaller(config->evaluate.max_tiles, GALLERY_BYTES / (bytes * (size_t)(1 + g->distorted))));
    if (rc == 0)
        rc = take_learnt(g, &c, smaller(config->evaluate.labelled, GALLERY_BYTES / bytes));
    camera_free(&c);
    if (rc != 0)
        sb_gallery_free(g);
    return rc;
}

void sb_gallery_free(sb_gallery *g)
{
    free(g->tile);
    free(g->clean);
    free(g->learnt_tile);
    free(g->learnt_view);
    *g = (sb_gallery){ 0 };
}

int sb_gallery_take_sample(sb_gallery_sample *s, const sb_gallery *g, sb_device *device,
                           const sb_index *index, const sb_settings *config, int most)
{
    camera c;
    *s = (sb_gallery_sample){ .of = count_all(index, all_of) };
    int taken = camera_create(&c, device, index, config, g->side);
    if (taken == 0)
        taken = choose(
            index, all_of,
            smaller(most, GALLERY_BYTES / ((size_t)g->side * (size_t)g->side * (size_t)g->channels)),
            &s->tile);
    if (taken >= 0)
        taken = view_all(&c, NULL, taken, s->tile, &s->view);
    camera_free(&c);
    s->tiles = taken < 0 ? 0 : taken;
    if (taken < 0)
        sb_gallery_free_sample(s);
    return taken < 0 ? -1 : 0;
}

void sb_gallery_free_sample(sb_gallery_sample *s)
{
    free(s->tile);
    free(s->view);
    *s = (sb_gallery_sample){ 0 };
}
