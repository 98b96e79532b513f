/* pictures.c: contact sheet and mosaic, as rows of square cells. See pictures.h. */
#include "evaluator/pictures.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <vips/vips.h>

#include "augment/order.h"
#include "augment/view.h"
#include "loader/readers/decoder.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/outfile.h"
#include "proto/rundir.h"

#define ROWS 8       /* samples or queries in a picture */
#define NEIGHBOURS 6 /* of a query */
#define FRAME 4      /* pixels around a cell */
#define CELL_MAX \
    256 /* views are shown as they are up to this side; larger ones are cut to every k-th pixel */

/* A sheet of columns x rows cells, 8-bit RGB, white. */
typedef struct {
    int columns, rows, cell, width, height;
    uint8_t *pixels;
} sheet;

static int sheet_create(sheet *s, int columns, int rows, int cell)
{
    int pitch = cell + 2 * FRAME;
    *s = (sheet){
        .columns = columns, .rows = rows, .cell = cell, .width = columns * pitch, .height = rows * pitch
    };
    size_t bytes = (size_t)s->width * (size_t)s->height * 3;
    s->pixels = sb_zeroed(bytes, 1, "a picture's pixels");
    if (!s->pixels)
        return -1;
    memset(s->pixels, 255, bytes);
    return 0;
}

/* Fills a cell and its frame with a colour. */
static void frame(sheet *s, int column, int row, const uint8_t colour[3])
{
    int pitch = s->cell + 2 * FRAME;
    for (int y = row * pitch; y < (row + 1) * pitch; y++)
        for (int x = column * pitch; x < (column + 1) * pitch; x++)
            memcpy(s->pixels + ((size_t)y * (size_t)s->width + (size_t)x) * 3, colour, 3);
}

/* Puts a view [side, side, channels] into a cell, top left. */
static void put(sheet *s, int column, int row, const uint8_t *view, int side, int channels)
{
    int pitch = s->cell + 2 * FRAME, skip = (side + s->cell - 1) / s->cell, shown = side / skip;
    for (int y = 0; y < shown; y++) {
        for (int x = 0; x < shown; x++) {
            const uint8_t *from = view +
                                  ((size_t)(y * skip) * (size_t)side + (size_t)(x * skip)) * (size_t)channels;
            uint8_t *to = s->pixels + ((size_t)(row * pitch + FRAME + y) * (size_t)s->width +
                                       (size_t)(column * pitch + FRAME + x)) *
                                          3;
            for (int c = 0; c < 3; c++)
                to[c] = from[channels >= 3 ? c : 0];
        }
    }
}

static int sheet_save(const sheet *s, const char *run_dir, const char *name)
{
    char path[PATH_MAX];
    void *png = NULL;
    size_t bytes = 0;
    if (sb_rundir_path(path, run_dir, "pictures/%s.png", name) != 0)
        return -1;
    VipsImage *image = vips_image_new_from_memory(s->pixels, (size_t)s->width * (size_t)s->height * 3,
                                                  s->width, s->height, 3, VIPS_FORMAT_UCHAR);
    int rc = !image || vips_pngsave_buffer(image, &png, &bytes, NULL) != 0
                 ? sb_fail("%s: %s", path, vips_error_buffer())
                 : sb_file_replace(path, png, bytes);
    vips_error_clear();
    g_free(png);
    if (image)
        g_object_unref(image);
    return rc;
}

static int largest_view(const sb_settings *config)
{
    int sizes[SB_VIEWS_MAX], count = sb_view_sizes(config->views, config->view_count, sizes),
                             side = config->data.view;
    return sizes[count - 1] > side ? sizes[count - 1] : side;
}

/* ---- contact sheet ------------------------------------------------------------------------------------- */

/* Tile and views of sample `number` into a row; a tile that cannot be decoded leaves it white. */
static int contact_row(const sb_evaluation *e, sheet *s, sb_order *order, sb_decoder *decoder, int number,
                       uint8_t *tile_pixels, uint8_t *view_pixels, void *scratch)
{
    const sb_settings *c = &e->config;
    int tile = c->data.tile, channels = c->data.channels;
    sb_tile place;
    if (sb_order_sample(order, (uint64_t)number, 0, &place) != 0)
        return -1;
    const sb_image *image = &e->index.images[place.image];
    char path[PATH_MAX];
    const sb_decode_source source = sb_index_source(&e->index, image, path);
    uint64_t read_ns = 0, decode_ns = 0;
    int rc = sb_decoder_tile(decoder, &source, place.left, place.top, tile, tile_pixels, &read_ns,
                             &decode_ns);
    if (rc < 0)
        return -1;
    if (rc > 0)
        return 0;
    for (int v = -1; v < c->view_count; v++) {
        sb_view_params params;
        if (v < 0)
            sb_view_clean(tile, tile, c->data.view, &params);
        else
            sb_view_of_sample(&e->sampling, 0, (uint32_t)number, v, tile, tile, &params);
        const sb_view_how how = { &params, .count = 1, .out = &view_pixels, .max_size = params.size };
        if (sb_view(e->device, &how, sb_view_tile(tile, tile, channels), tile_pixels, scratch) != 0)
            return -1;
        put(s, 1 + v, number, view_pixels, params.size, channels);
    }
    return 0;
}

static int contact(const sb_evaluation *e)
{
    const sb_settings *c = &e->config;
    int side = largest_view(c), rows = c->trainer.batch < ROWS ? c->trainer.batch : ROWS;
    sheet s = { 0 };
    sb_order *order = NULL;
    sb_decoder *decoder = NULL;
    void *scratch = NULL;
    size_t channels = (size_t)c->data.channels;
    sb_shape shape = sb_view_tile(c->data.tile, c->data.tile, c->data.channels);
    uint8_t *tile = sb_zeroed((size_t)c->data.tile * (size_t)c->data.tile, channels, "a tile's pixels");
    uint8_t *view = sb_zeroed((size_t)side * (size_t)side, channels, "a view's pixels");
    int rc = tile && view ? 0 : -1;
    if (rc == 0 &&
        (sheet_create(&s, 1 + c->view_count, rows, side < CELL_MAX ? side : CELL_MAX) != 0 ||
         sb_order_create(&order, &e->index, &e->sampling) != 0 ||
         sb_decoder_create(&decoder, &c->data.samples, sb_index_largest(&e->index, c->data.channels),
                           c->data.untrusted) != 0 ||
         e->device->alloc(e->device, sb_view_scratch(e->device, shape, 1, side), &scratch) != 0))
        rc = -1;
    for (int i = 0; rc == 0 && i < rows; i++)
        rc = contact_row(e, &s, order, decoder, i, tile, view, scratch);
    if (rc == 0)
        rc = sheet_save(&s, e->run_dir, "contact");
    if (scratch)
        e->device->release(e->device, scratch);
    sb_decoder_destroy(&decoder);
    sb_order_destroy(&order);
    free(s.pixels);
    free(tile);
    free(view);
    return rc;
}

/* ---- mosaic -------------------------------------------------------------------------------------------- */

/* The clean tiles nearest to a query, nearest first. */
static void nearest(const sb_evaluation *e, const float *query, int width, int count, int *out)
{
    for (int n = 0; n < count; n++) {
        double most = 0;
        int best = -1; /* one is found even where every similarity is no number */
        for (int t = 0; t < e->gallery.tiles; t++) {
            double s = 0;
            for (int k = 0; k < width; k++)
                s += (double)query[k] * e->features[(size_t)t * (size_t)width + (size_t)k];
            bool taken = false;
            for (int m = 0; m < n; m++)
                taken = taken || out[m] == t;
            if (!taken && (best < 0 || s > most)) {
                most = s;
                best = t;
            }
        }
        out[n] = best;
    }
}

static int mosaic(const sb_evaluation *e)
{
    static const uint8_t right[3] = { 30, 160, 60 }, wrong[3] = { 200, 50, 40 };
    const sb_gallery *g = &e->gallery;
    int rows = g->tiles < ROWS ? g->tiles : ROWS, count = g->tiles < NEIGHBOURS ? g->tiles : NEIGHBOURS,
        found[NEIGHBOURS];
    int width = sb_encoder_width(e->encoder), cell = g->side < CELL_MAX ? g->side : CELL_MAX;
    size_t bytes = (size_t)g->side * (size_t)g->side * (size_t)g->channels;
    sheet s;
    if (sheet_create(&s, 1 + count, rows, cell) != 0)
        return -1;
    for (int row = 0; row < rows; row++) {
        int t = (int)((long)row * g->tiles / rows); /* spread over the gallery */
        size_t query = (size_t)t * (size_t)g->distorted;
        put(&s, 0, row, g->view + query * bytes, g->side, g->channels);
        nearest(e, e->features + ((size_t)g->tiles + query) * (size_t)width, width, count, found);
        for (int n = 0; n < count; n++) {
            frame(&s, 1 + n, row, found[n] == t ? right : wrong);
            put(&s, 1 + n, row, g->clean + (size_t)found[n] * bytes, g->side, g->channels);
        }
    }
    int rc = sheet_save(&s, e->run_dir, "mosaic");
    free(s.pixels);
    return rc;
}

int sb_pictures_check(const char *run_dir)
{
    char path[PATH_MAX];
    return sb_rundir_path(path, run_dir, "pictures") != 0 ? -1 : sb_outfile_check_kept(path);
}

int sb_pictures(const sb_evaluation *e)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, e->run_dir, "pictures") != 0)
        return -1;
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return sb_fail_errno("making directory %s", path);
    if (contact(e) != 0 || mosaic(e) != 0)
        return -1;
    return sb_picture_curves(e->run_dir);
}
