/* findings.c: see findings.h. */
#include "evaluator/findings.h"

#include <jansson.h>
#include <lapacke.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "evaluator/sheet.h"
#include "kernels/op/product.h"
#include "proto/error.h"
#include "proto/jsonl.h"
#include "proto/memory.h"
#include "proto/outfile.h"
#include "proto/rundir.h"
#include "trainer/spread.h"

#define FINDINGS "findings.json"
#define FEATURES "findings.npy"
#define BYTES_MAX ((size_t)16 << 20)
#define CELL 64    /* pixels of a tile's picture */
#define COLUMNS 24 /* of the atlas */
#define QUERIES 8
#define FOUND 6 /* tiles shown of a query's nearest */
#define LISTED 12
#define NEAREST 10 /* of which an isolated tile is far, as in lists.h */

/* Held-out tiles first, then the sample. */
typedef struct {
    const sb_evaluation *e;
    const sb_gallery_sample *sample;
    int held, tiles, width;
    int *of;        /* [held]: their numbers in the gallery */
    float *feature; /* [tiles, width], of length 1 */
    float *centred; /* the same less their mean, of length 1 */
    float *cosine;  /* [tiles, tiles] of `centred` */
    float *near;    /* [held * distorted, held]: cosines of distorted views to clean tiles */
    double *place;  /* [2, tiles] */
    double explained[2];
} look;

/* An entry of a list: the highest value first, of equals the first that came. */
typedef struct {
    double value;
    int tile, other;
} entry;
typedef struct {
    entry best[LISTED];
    int count;
} list;

static void keep(list *l, entry e)
{
    if (l->count == LISTED && e.value <= l->best[LISTED - 1].value)
        return;
    int at = l->count < LISTED ? l->count++ : LISTED - 1;
    for (; at > 0 && l->best[at - 1].value < e.value; at--)
        l->best[at] = l->best[at - 1];
    l->best[at] = e;
}

static const sb_tile *tile_of(const look *l, int t)
{
    return t < l->held ? &l->e->gallery.tile[l->of[t]] : &l->sample->tile[t - l->held];
}

static const sb_image *image_of(const look *l, int t) { return &l->e->index.images[tile_of(l, t)->image]; }

/* ---- features --------------------------------------------------------------------------------------------- */

/* Cosines of rows of length 1, x [n, width] and y [m, width], into out[n, m]. */
static int compare(const look *l, const float *x, int n, const float *y, int m, float *out)
{
    const sb_product_how how = { .form = SB_PRODUCT_COLUMNS, .scale = 1 };
    const sb_call call = { .how = &how,
                           .xs = { { n, 1, 1, l->width, SB_F32 }, { m, 1, 1, l->width, SB_F32 } },
                           .ys = { n, 1, 1, m, SB_F32 },
                           .x = { x, y },
                           .y = out };
    return sb_forward(l->e->device, SB_OP_PRODUCT, &call);
}

static void centre(const look *l)
{
    const size_t width = (size_t)l->width;
    for (size_t k = 0; k < width; k++) {
        double mean = 0;
        for (size_t t = 0; t < (size_t)l->tiles; t++)
            mean += (double)l->feature[t * width + k] / l->tiles;
        for (size_t t = 0; t < (size_t)l->tiles; t++)
            l->centred[t * width + k] = (float)((double)l->feature[t * width + k] - mean);
    }
    sb_spread_unit(l->centred, (size_t)l->tiles, l->width);
}

/* The two directions in which `feature` varies most: principal components, by the eigenvectors of the tiles'
 * products, whose rows and columns are brought to a mean of 0. */
static int place(look *l)
{
    const int n = l->tiles;
    const size_t rows = (size_t)n;
    double *gram = sb_zeroed(rows * rows, sizeof *gram, "the products of features"),
           *mean = sb_zeroed(rows, sizeof *mean, "their means"),
           *value = sb_zeroed(rows, sizeof *value, "values");
    float *product = sb_zeroed(rows * rows, sizeof *product, "the products of features");
    int *support = sb_zeroed(4, sizeof *support, "eigenvectors"), found = 0, info = 0;
    int rc = gram && mean && value && product && support ? compare(l, l->feature, n, l->feature, n, product)
                                                         : -1;
    double all = 0, trace = 0;
    for (size_t i = 0; rc == 0 && i < rows * rows; i++) {
        mean[i / rows] += (double)product[i] / n;
        all += (double)product[i] / ((double)n * n);
    }
    for (size_t i = 0; rc == 0 && i < rows * rows; i++)
        gram[i] = (double)product[i] - mean[i / rows] - mean[i % rows] + all;
    for (size_t i = 0; rc == 0 && i < rows; i++)
        trace += gram[i * rows + i];
    if (rc == 0)
        info = LAPACKE_dsyevr(LAPACK_COL_MAJOR, 'V', 'I', 'U', n, gram, n, 0, 0, n - 1, n, 0, &found, value,
                              l->place, n, support);
    if (rc == 0 && (info != 0 || found != 2))
        rc = sb_fail("LAPACK gives no principal components of %d tiles (info %d)", n, info);
    for (int k = 0; rc == 0 && k < 2; k++) {
        const double length = value[k] > 0 ? sqrt(value[k]) : 0;
        l->explained[1 - k] = trace > 0 ? length * length / trace : 0; /* values ascend */
        for (size_t t = 0; t < rows; t++)
            l->place[(size_t)k * rows + t] *= length;
    }
    free(gram);
    free(mean);
    free(value);
    free(product);
    free(support);
    return rc;
}

static int gather(look *l)
{
    const sb_evaluation *e = l->e;
    const sb_gallery *g = &e->gallery;
    const size_t width = (size_t)l->width, tiles = (size_t)l->tiles, held = (size_t)l->held,
                 distorted = (size_t)g->distorted;
    l->feature = sb_zeroed(tiles * width, sizeof *l->feature, "the features of tiles");
    l->centred = sb_zeroed(tiles * width, sizeof *l->centred, "the features of tiles");
    l->cosine = sb_zeroed(tiles * tiles, sizeof *l->cosine, "the cosines of tiles");
    l->near = sb_zeroed(held * distorted * held, sizeof *l->near, "the cosines of views");
    l->place = sb_zeroed(2 * tiles, sizeof *l->place, "the places of tiles");
    if (!l->feature || !l->centred || !l->cosine || !l->near || !l->place)
        return -1;
    for (size_t t = 0; t < held; t++)
        memcpy(l->feature + t * width, e->features + (size_t)l->of[t] * width, width * sizeof *l->feature);
    if (sb_encoder_features(e->encoder, l->sample->view, l->sample->tiles, l->feature + held * width) != 0)
        return -1;
    sb_spread_unit(l->feature + held * width, tiles - held, l->width);
    for (size_t t = 0; t < held; t++)
        if (compare(l, e->features + ((size_t)g->tiles + (size_t)l->of[t] * distorted) * width, g->distorted,
                    l->feature, l->held, l->near + t * distorted * held) != 0)
            return -1;
    centre(l);
    return compare(l, l->centred, l->tiles, l->centred, l->tiles, l->cosine) != 0 ? -1 : place(l);
}

/* ---- what is found ---------------------------------------------------------------------------------------- */

/* The `count` highest of row[n], the highest first, into out; `without` is none of them. Returns how many. */
static int highest(const float *row, int n, int without, int count, int *out)
{
    int found = 0;
    for (int i = 0; i < n; i++) {
        if (i == without || (found == count && !(row[i] > row[out[count - 1]])))
            continue;
        int at = found < count ? found++ : count - 1;
        for (; at > 0 && row[i] > row[out[at - 1]]; at--)
            out[at] = out[at - 1];
        out[at] = i;
    }
    return found;
}

static int queries_of(const look *l) { return l->held < QUERIES ? l->held : QUERIES; }
static int query_of(const look *l, int q) { return (int)((long)q * l->held / queries_of(l)); }

static json_t *queries(const look *l)
{
    json_t *out = json_array();
    const int distorted = l->e->gallery.distorted, count = queries_of(l);
    for (int q = 0; q < count; q++) {
        const int t = query_of(l, q);
        const float *row = l->near + (size_t)t * (size_t)distorted * (size_t)l->held;
        int found[FOUND] = { 0 };
        const int n = highest(row, l->held, -1, FOUND, found);
        json_t *tiles = json_array(), *cosines = json_array();
        for (int i = 0; i < n; i++) {
            json_array_append_new(tiles, json_integer(found[i]));
            json_array_append_new(cosines, json_real((double)row[found[i]]));
        }
        json_array_append_new(out, json_pack("{s:i, s:i, s:o, s:o}", "tile", t, "cell", l->tiles + q, "found",
                                             tiles, "cosine", cosines));
    }
    return out;
}

/* The tile that most of `count` views are taken for, but for their own; -1: none. right: how many are not. */
static int most_taken(const look *l, int t, int *right)
{
    const int distorted = l->e->gallery.distorted;
    int taken[SB_VIEWS_MAX] = { 0 }, best = -1, most = 0;
    *right = 0;
    for (int d = 0; d < distorted; d++) {
        const size_t row = (size_t)t * (size_t)distorted + (size_t)d;
        if (highest(l->near + row * (size_t)l->held, l->held, -1, 1, &taken[d]) == 0)
            taken[d] = -1;
        *right += taken[d] == t;
    }
    for (int d = 0; d < distorted; d++) {
        int same = 0;
        for (int o = 0; o < distorted; o++)
            same += taken[o] == taken[d];
        if (taken[d] != t && same > most) {
            most = same;
            best = taken[d];
        }
    }
    return best;
}

static json_t *worst(const look *l)
{
    list found = { .count = 0 };
    json_t *out = json_array();
    for (int t = 0; t < l->held; t++) {
        int right;
        const int taken = most_taken(l, t, &right);
        if (taken >= 0)
            keep(&found, (entry){ -right, t, taken });
    }
    for (int i = 0; i < found.count; i++)
        json_array_append_new(out, json_pack("{s:i, s:f, s:i}", "tile", found.best[i].tile, "right",
                                             -found.best[i].value / l->e->gallery.distorted, "taken",
                                             found.best[i].other));
    return out;
}

static json_t *isolated(const look *l)
{
    list found = { .count = 0 };
    json_t *out = json_array();
    for (int t = 0; t < l->held; t++) {
        const float *row = l->cosine + (size_t)t * (size_t)l->tiles;
        int near[NEAREST] = { 0 };
        const int n = highest(row, l->tiles, t, NEAREST, near);
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += 1 - (double)row[near[i]];
        keep(&found, (entry){ sum / n, t, 0 });
    }
    for (int i = 0; i < found.count; i++)
        json_array_append_new(
            out, json_pack("{s:i, s:f}", "tile", found.best[i].tile, "distance", found.best[i].value));
    return out;
}

/* Of each held-out tile the nearest one of another image that is trained on. */
static json_t *across(const look *l)
{
    list found = { .count = 0 };
    json_t *out = json_array();
    for (int t = 0; t < l->held; t++) {
        entry nearest = { -2, t, -1 };
        for (int o = l->held; o < l->tiles; o++) {
            const double cosine = (double)l->cosine[(size_t)t * (size_t)l->tiles + (size_t)o];
            if (cosine > nearest.value && image_of(l, o)->file != image_of(l, t)->file)
                nearest = (entry){ cosine, t, o };
        }
        if (nearest.other >= 0)
            keep(&found, nearest);
    }
    for (int i = 0; i < found.count; i++)
        json_array_append_new(out, json_pack("{s:i, s:i, s:f}", "tile", found.best[i].tile, "other",
                                             found.best[i].other, "cosine", found.best[i].value));
    return out;
}

/* ---- what is written -------------------------------------------------------------------------------------- */

static json_t *tiles(const look *l)
{
    json_t *out = json_array();
    for (int t = 0; t < l->tiles; t++) {
        const sb_image *image = image_of(l, t);
        json_t *o = json_pack("{s:o, s:i, s:i, s:i, s:f, s:f}", "name",
                              sb_jsonl_text(sb_index_name(&l->e->index, image)), "page", (int)image->page,
                              "left", tile_of(l, t)->left, "top", tile_of(l, t)->top, "x",
                              l->place[(size_t)l->tiles + (size_t)t], "y", l->place[t]);
        if (o && image->label != UINT32_MAX)
            json_object_set_new(o, "label", sb_jsonl_text(l->e->index.labels[image->label]));
        json_array_append_new(out, o);
    }
    return out;
}

/* A view into a cell, each pixel the mean of those that it stands for. */
static void put(sb_sheet *s, int cell, const uint8_t *view, int side, int channels)
{
    uint8_t small[CELL * CELL * 3];
    const int shown = s->cell, seen = channels >= 3 ? 3 : 1;
    for (int y = 0; y < shown; y++)
        for (int x = 0; x < shown; x++)
            for (int c = 0; c < seen; c++) {
                const int top = y * side / shown, left = x * side / shown, bottom = (y + 1) * side / shown,
                          right = (x + 1) * side / shown;
                int sum = 0;
                for (int v = top; v < bottom; v++)
                    for (int u = left; u < right; u++)
                        sum += view[((size_t)v * (size_t)side + (size_t)u) * (size_t)channels + (size_t)c];
                small[(y * shown + x) * seen + c] = (uint8_t)(sum / ((bottom - top) * (right - left)));
            }
    sb_sheet_put(s, cell % s->columns, cell / s->columns, small, shown, seen);
}

static int draw(const look *l, json_t *out)
{
    const sb_gallery *g = &l->e->gallery;
    const size_t bytes = (size_t)g->side * (size_t)g->side * (size_t)g->channels;
    const int count = queries_of(l), cells = l->tiles + count;
    sb_sheet s;
    if (sb_sheet_create(&s, COLUMNS, (cells + COLUMNS - 1) / COLUMNS, g->side < CELL ? g->side : CELL) != 0)
        return -1;
    for (int t = 0; t < l->tiles; t++)
        put(&s, t,
            t < l->held ? g->clean + (size_t)l->of[t] * bytes
                        : l->sample->view + (size_t)(t - l->held) * bytes,
            g->side, g->channels);
    for (int q = 0; q < count; q++) {
        const int t = query_of(l, q);
        put(&s, l->tiles + q, g->view + (size_t)l->of[t] * (size_t)g->distorted * bytes, g->side,
            g->channels);
    }
    char *jpeg = sb_sheet_base64(&s);
    if (jpeg)
        json_object_update_new(out, json_pack("{s:s, s:i, s:i, s:i}", "atlas", jpeg, "columns", COLUMNS,
                                              "cell", s.cell, "frame", SB_SHEET_FRAME));
    free(jpeg);
    free(s.pixels);
    return jpeg ? 0 : -1;
}

static int write_json(const look *l)
{
    const sb_evaluation *e = l->e;
    char path[PATH_MAX];
    if (sb_rundir_path(path, e->run_dir, FINDINGS) != 0)
        return -1;
    const json_int_t sum = (json_int_t)crc32_z(0, (const Bytef *)l->feature,
                                               (size_t)l->tiles * (size_t)l->width * sizeof *l->feature);
    json_t *root = json_pack("{s:I, s:I, s:s, s:i, s:i, s:i, s:I, s:i, s:o, s:[f, f], s:o, s:o, s:o, s:o}",
                             "features", sum, "step", (json_int_t)e->report.step, "source", e->report.source,
                             "held", l->held, "held_of", e->gallery.tiles, "trained", l->sample->tiles,
                             "trained_of", (json_int_t)l->sample->of, "views", e->gallery.distorted, "tiles",
                             tiles(l), "explained", l->explained[0], l->explained[1], "queries", queries(l),
                             "worst", worst(l), "isolated", isolated(l), "across", across(l));
    int rc = root ? draw(l, root) : sb_fail("%s: a value is not a number", path);
    char *out = rc == 0 ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    if (rc == 0)
        rc = out ? sb_file_replace(path, out, strlen(out)) : sb_fail("out of memory for %s", path);
    free(out);
    json_decref(root);
    return rc;
}

static int write_features(const look *l)
{
    char path[PATH_MAX];
    const sb_npy features = {
        SB_NPY_F32, 2, { l->tiles, l->width }, (size_t)l->tiles * (size_t)l->width, l->feature
    };
    return sb_rundir_path(path, l->e->run_dir, FEATURES) != 0 ? -1 : sb_npy_write(path, &features);
}

int sb_findings_check(const char *run_dir)
{
    char path[PATH_MAX], features[PATH_MAX];
    return sb_rundir_path(path, run_dir, FINDINGS) != 0 || sb_outfile_check_kept(path) != 0 ||
                   sb_rundir_path(features, run_dir, FEATURES) != 0 || sb_outfile_check_kept(features) != 0
               ? -1
               : 0;
}

int sb_findings_read(const char *run_dir, json_t **out)
{
    char path[PATH_MAX], *text;
    size_t bytes;
    json_error_t error;
    *out = NULL;
    if (sb_rundir_path(path, run_dir, FINDINGS) != 0)
        return -1;
    if (access(path, F_OK) != 0)
        return 0;
    if (sb_file_read(path, BYTES_MAX, &text, &bytes) != 0)
        return -1;
    json_t *root = json_loadb(text, bytes, 0, &error);
    free(text);
    if (!json_is_object(root)) {
        sb_fail("%s: %s", path, root ? "no object" : error.text);
        json_decref(root);
        return -1;
    }
    *out = root;
    return 1;
}

int sb_findings_read_features(const char *run_dir, sb_npy *out)
{
    char path[PATH_MAX];
    *out = (sb_npy){ 0 };
    if (sb_rundir_path(path, run_dir, FEATURES) != 0)
        return -1;
    if (access(path, F_OK) != 0)
        return 0;
    return sb_npy_read(out, path, SB_NPY_F32) == 0 ? 1 : -1;
}

int sb_findings_write(sb_evaluation *e)
{
    sb_gallery_sample *sample = &e->sample;
    if (!sample->tile &&
        sb_gallery_take_sample(sample, &e->gallery, e->device, &e->index, &e->config, SB_FINDINGS_TILES) != 0)
        return -1;
    const int all = e->gallery.tiles, held = all < SB_FINDINGS_TILES ? all : SB_FINDINGS_TILES;
    look l = { .e = e,
               .sample = sample,
               .held = held,
               .tiles = held + sample->tiles,
               .width = sb_encoder_width(e->encoder) };
    l.of = sb_zeroed((size_t)held, sizeof *l.of, "the numbers of tiles");
    for (int t = 0; l.of && t < held; t++)
        l.of[t] = (int)((long)t * all / held);
    const int rc = l.of && gather(&l) == 0 && write_features(&l) == 0 ? write_json(&l) : -1;
    free(l.of);
    free(l.feature);
    free(l.centred);
    free(l.cosine);
    free(l.near);
    free(l.place);
    return rc;
}
