/* collection.c: see collection.h. */
#include "evaluator/collection.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/op/product.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/rundir.h"
#include "trainer/npy.h"
#include "trainer/spread.h"

/* ---- what is kept ----------------------------------------------------------------------------------------- */

static int names(const sb_collection *c, const char *run_dir, char feature[PATH_MAX], char tile[PATH_MAX])
{
    return sb_rundir_path(feature, run_dir, "features/step-%09" PRId64 "-%d.npy", c->walk.step,
                          c->walk.side) != 0 ||
                   sb_rundir_path(tile, run_dir, "features/step-%09" PRId64 "-%d.tiles.npy", c->walk.step,
                                  c->walk.side) != 0
               ? -1
               : 0;
}

static bool is_newer(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec != b->st_mtim.tv_sec ? a->st_mtim.tv_sec > b->st_mtim.tv_sec
                                                  : a->st_mtim.tv_nsec > b->st_mtim.tv_nsec;
}

/* Whether there are features that were made after the checkpoint was. */
static bool is_kept(const sb_collection *c, const char *run_dir)
{
    char feature[PATH_MAX], tile[PATH_MAX], checkpoint[PATH_MAX];
    struct stat made, listed, from;
    return names(c, run_dir, feature, tile) == 0 &&
           sb_rundir_path(checkpoint, run_dir, "checkpoints/step-%09" PRId64 ".safetensors", c->walk.step) ==
               0 &&
           stat(feature, &made) == 0 && stat(tile, &listed) == 0 && stat(checkpoint, &from) == 0 &&
           is_newer(&made, &from) && is_newer(&listed, &from);
}

static int read_kept(sb_collection *c, const char *run_dir)
{
    char feature[PATH_MAX], tile[PATH_MAX];
    sb_npy features = { 0 }, tiles = { 0 };
    if (names(c, run_dir, feature, tile) != 0 || sb_npy_read(&features, feature, SB_NPY_F32) != 0)
        return -1;
    int rc = sb_npy_read(&tiles, tile, SB_NPY_I32);
    const int32_t *values = tiles.values;
    if (rc == 0 &&
        (features.dims != 2 || tiles.dims != 2 || features.side[1] != c->width || tiles.side[1] != 3 ||
         features.side[0] != tiles.side[0] || tiles.side[0] < 1 || tiles.side[0] > INT_MAX))
        rc = sb_fail("%s does not fit %s: delete both", tile, feature);
    c->tile = rc == 0 ? sb_zeroed((size_t)tiles.side[0], sizeof *c->tile, "the tiles of the data set") : NULL;
    for (int64_t t = 0; c->tile && rc == 0 && t < tiles.side[0]; t++) {
        if (values[3 * t] < 0 || (uint32_t)values[3 * t] >= c->index.count)
            rc = sb_fail("%s: tile %" PRId64 " is of no image of the run: delete it", tile, t);
        c->tile[t] = (sb_tile){ (uint32_t)values[3 * t], values[3 * t + 1], values[3 * t + 2] };
    }
    if (rc == 0 && c->tile) {
        c->tiles = (int)tiles.side[0];
        c->feature = features.values;
    } else {
        free(features.values);
    }
    free(tiles.values);
    return rc == 0 && c->tile ? 0 : -1;
}

static int write_kept(const sb_collection *c, const char *run_dir)
{
    char folder[PATH_MAX], feature[PATH_MAX], tile[PATH_MAX];
    if (sb_rundir_path(folder, run_dir, "features") != 0 || names(c, run_dir, feature, tile) != 0)
        return -1;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return sb_fail_errno("making directory %s", folder);
    int32_t *values = sb_zeroed(3 * (size_t)c->tiles, sizeof *values, "the list of tiles");
    for (int t = 0; values && t < c->tiles; t++) {
        values[3 * (size_t)t] = (int32_t)c->tile[t].image;
        values[3 * (size_t)t + 1] = c->tile[t].left;
        values[3 * (size_t)t + 2] = c->tile[t].top;
    }
    const sb_npy tiles = { SB_NPY_I32, 2, { c->tiles, 3 }, 3 * (size_t)c->tiles, values };
    const sb_npy features = {
        SB_NPY_F32, 2, { c->tiles, c->width }, (size_t)c->tiles * (size_t)c->width, c->feature
    };
    const int rc = values ? sb_npy_write(tile, &tiles) : -1;
    free(values);
    return rc == 0 ? sb_npy_write(feature, &features) : -1;
}

static int make(sb_collection *c, const char *run_dir)
{
    sb_walked walked = { 0 };
    sb_note("features of the data set by step %" PRId64 " are made, and kept for the next time",
            c->walk.step);
    const int rc = sb_walk_gather(&c->walk, &walked);
    c->tiles = walked.tiles;
    c->tile = walked.tile;
    c->feature = walked.feature;
    if (rc != 0)
        return -1;
    if (write_kept(c, run_dir) != 0)
        sb_note("%s: they are not kept", sb_error());
    return 0;
}

/* ---- the collection --------------------------------------------------------------------------------------- */

int sb_collection_create(sb_collection *c, const char *run_dir, int threads)
{
    *c = (sb_collection){ 0 };
    if (sb_settings_of_run(&c->config, run_dir, &c->config_text) != 0 ||
        sb_index_read(&c->index, run_dir, &c->config.data) != 0 ||
        sb_walk_create(&c->walk, run_dir, false, &c->config, &c->index, threads) != 0)
        return -1;
    c->width = sb_encoder_width(c->walk.encoder);
    c->mean = sb_zeroed((size_t)c->width, sizeof *c->mean, "the mean of features");
    if (!c->mean || (is_kept(c, run_dir) ? read_kept(c, run_dir) : make(c, run_dir)) != 0)
        return -1;
    for (int t = 0; t < c->tiles; t++)
        for (int k = 0; k < c->width; k++)
            c->mean[k] += (double)c->feature[(size_t)t * (size_t)c->width + (size_t)k] / c->tiles;
    sb_collection_centre(c, c->feature, c->tiles);
    return 0;
}

void sb_collection_free(sb_collection *c)
{
    free(c->config_text);
    free(c->tile);
    free(c->feature);
    free(c->mean);
    sb_walk_free(&c->walk);
    sb_index_free(&c->index);
    *c = (sb_collection){ 0 };
}

void sb_collection_centre(const sb_collection *c, float *feature, int rows)
{
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < c->width; k++)
            feature[(size_t)i * (size_t)c->width + (size_t)k] -= (float)c->mean[k];
    sb_spread_unit(feature, (size_t)rows, c->width);
}

int sb_collection_compare(const sb_collection *c, const float *feature, int rows, float *out)
{
    const sb_product_how how = { .form = SB_PRODUCT_COLUMNS, .scale = 1 };
    const sb_call call = { .how = &how,
                           .xs = { { rows, 1, 1, c->width, SB_F32 }, { c->tiles, 1, 1, c->width, SB_F32 } },
                           .ys = { rows, 1, 1, c->tiles, SB_F32 },
                           .x = { feature, c->feature },
                           .y = out };
    return sb_forward(c->walk.device, SB_OP_PRODUCT, &call);
}

static bool lies_in(const sb_region *r, const sb_tile *t, int side)
{
    return r->width > 0 && t->left >= r->left && t->top >= r->top && t->left + side <= r->left + r->width &&
           t->top + side <= r->top + r->height;
}

const char *sb_collection_part(const sb_collection *c, int tile)
{
    const sb_image *image = &c->index.images[c->tile[tile].image];
    const bool whole = image->placed || image->width < c->walk.tile || image->height < c->walk.tile;
    if (whole)
        return image->test.width > 0 ? "held out" : image->train.width > 0 ? "train" : "between";
    return lies_in(&image->test, &c->tile[tile], c->walk.tile)    ? "held out"
           : lies_in(&image->train, &c->tile[tile], c->walk.tile) ? "train"
                                                                  : "between";
}
