/* pictures.c: contact sheet and mosaic, as rows of square cells. See pictures.h. */
#include "evaluator/pictures.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "augment/order.h"
#include "augment/view.h"
#include "evaluator/sheet.h"
#include "loader/readers/decoder.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/outfile.h"
#include "proto/rundir.h"

#define ROWS 8       /* samples or queries in a picture */
#define NEIGHBOURS 6 /* of a query */
static int largest_view(const sb_settings *config)
{
    int sizes[SB_VIEWS_MAX], count = sb_view_sizes(config->views, config->view_count, sizes),
                             side = config->data.view;
    return sizes[count - 1] > side ? sizes[count - 1] : side;
}

/* ---- contact sheet ------------------------------------------------------------------------------------- */

/* Tile and views of sample `number` into a row; a tile that cannot be decoded leaves it white. */
static int contact_row(const sb_evaluation *e, sb_sheet *s, sb_order *order, sb_decoder *decoder, int number,
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
        sb_sheet_put(s, 1 + v, number, view_pixels, params.size, channels);
    }
    return 0;
}

static int contact(const sb_evaluation *e)
{
    const sb_settings *c = &e->config;
    int side = largest_view(c), rows = c->trainer.batch < ROWS ? c->trainer.batch : ROWS;
    sb_sheet s = { 0 };
    sb_order *order = NULL;
    sb_decoder *decoder = NULL;
    void *scratch = NULL;
    size_t channels = (size_t)c->data.channels;
    sb_shape shape = sb_view_tile(c->data.tile, c->data.tile, c->data.channels);
    uint8_t *tile = sb_zeroed((size_t)c->data.tile * (size_t)c->data.tile, channels, "a tile's pixels");
    uint8_t *view = sb_zeroed((size_t)side * (size_t)side, channels, "a view's pixels");
    int rc = tile && view ? 0 : -1;
    if (rc == 0 &&
        (sb_sheet_create(&s, 1 + c->view_count, rows, side < SB_CELL_MAX ? side : SB_CELL_MAX) != 0 ||
         sb_order_create(&order, &e->index, &e->sampling) != 0 ||
         sb_decoder_create(&decoder, &c->data.samples, sb_index_largest(&e->index, c->data.channels),
                           c->data.untrusted) != 0 ||
         e->device->alloc(e->device, sb_view_scratch(e->device, shape, 1, side), &scratch) != 0))
        rc = -1;
    for (int i = 0; rc == 0 && i < rows; i++)
        rc = contact_row(e, &s, order, decoder, i, tile, view, scratch);
    if (rc == 0)
        rc = sb_sheet_save(&s, e->run_dir, "pictures/contact");
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
    const sb_gallery *g = &e->gallery;
    int rows = g->tiles < ROWS ? g->tiles : ROWS, count = g->tiles < NEIGHBOURS ? g->tiles : NEIGHBOURS,
        found[NEIGHBOURS];
    int width = sb_encoder_width(e->encoder), cell = g->side < SB_CELL_MAX ? g->side : SB_CELL_MAX;
    size_t bytes = (size_t)g->side * (size_t)g->side * (size_t)g->channels;
    sb_sheet s;
    if (sb_sheet_create(&s, 1 + count, rows, cell) != 0)
        return -1;
    for (int row = 0; row < rows; row++) {
        int t = (int)((long)row * g->tiles / rows); /* spread over the gallery */
        size_t query = (size_t)t * (size_t)g->distorted;
        sb_sheet_put(&s, 0, row, g->view + query * bytes, g->side, g->channels);
        nearest(e, e->features + ((size_t)g->tiles + query) * (size_t)width, width, count, found);
        for (int n = 0; n < count; n++) {
            sb_sheet_frame(&s, 1 + n, row, found[n] == t ? sb_sheet_green : sb_sheet_red);
            sb_sheet_put(&s, 1 + n, row, g->clean + (size_t)found[n] * bytes, g->side, g->channels);
        }
    }
    int rc = sb_sheet_save(&s, e->run_dir, "pictures/mosaic");
    free(s.pixels);
    return rc;
}

int sb_pictures_check(const char *run_dir)
{
    char path[PATH_MAX];
    return sb_rundir_path(path, run_dir, "pictures") != 0 ? -1 : sb_outfile_check_kept(path);
}

static int make_folder(const char *run_dir)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, run_dir, "pictures") != 0)
        return -1;
    return mkdir(path, 0777) != 0 && errno != EEXIST ? sb_fail_errno("making directory %s", path) : 0;
}

int sb_pictures(const sb_evaluation *e)
{
    if (make_folder(e->run_dir) != 0 || contact(e) != 0 || mosaic(e) != 0)
        return -1;
    return sb_picture_curves(e->run_dir);
}

bool sb_picture_has_contact(const char *run_dir)
{
    char path[PATH_MAX];
    return sb_rundir_path(path, run_dir, "pictures/contact.png") == 0 && access(path, F_OK) == 0;
}

int sb_picture_contact(const char *run_dir)
{
    sb_evaluation e = { .run_dir = run_dir };
    const int rc = sb_pictures_check(run_dir) != 0 || sb_settings_of_run(&e.config, run_dir, NULL) != 0 ||
                           sb_augment_keys_of_run(&e.sampling, run_dir) != 0 ||
                           sb_index_read(&e.index, run_dir, &e.config.data) != 0 ||
                           sb_device_cpu(&e.device, 1) != 0 || make_folder(run_dir) != 0 || contact(&e) != 0
                       ? -1
                       : 0;
    sb_evaluation_free(&e);
    return rc;
}
