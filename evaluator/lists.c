/* lists.c: see lists.h. */
#include "evaluator/lists.h"

#include <csv.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evaluator/collection.h"
#include "evaluator/sheet.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/outfile.h"
#include "proto/rundir.h"

#define BLOCK 16      /* rows that are compared with all tiles at once */
#define NEIGHBOURS 10 /* of which an outlier is far */
#define PRINTED 10
#define COLUMNS 6    /* of a picture */
#define PICTURED 120 /* tiles or pairs in it, the first of a list */

/* A line of a list: a tile and its value, and the other tile of a pair (or of the image that is looked for).
 */
typedef struct {
    double value;
    int tile, other;
} entry;

typedef struct {
    const char *run_dir, *name;
    sb_collection collection;
    float *scores; /* [BLOCK, tiles] */
    entry *best;   /* [most] that are kept, the highest value first */
    int most, count;
} list;

/* ---- lists ------------------------------------------------------------------------------------------------ */

/* Before anything is computed. */
static int open_list(list *l, int threads)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, l->run_dir, "lists") != 0 || sb_outfile_check_kept(path) != 0 ||
        sb_collection_create(&l->collection, l->run_dir, threads) != 0)
        return -1;
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return sb_fail_errno("making directory %s", path);
    l->scores = sb_zeroed(BLOCK * (size_t)l->collection.tiles, sizeof *l->scores, "the cosines of tiles");
    l->best = sb_zeroed((size_t)l->most, sizeof *l->best, "a list of tiles");
    return l->scores && l->best ? 0 : -1;
}

static void close_list(list *l)
{
    free(l->scores);
    free(l->best);
    sb_collection_free(&l->collection);
}

/* Of equal values the first that came stays in front. */
static void keep(list *l, entry e)
{
    int at = l->count;
    if (l->count == l->most && e.value <= l->best[l->most - 1].value)
        return;
    at -= l->count == l->most;
    l->count += l->count < l->most;
    for (; at > 0 && l->best[at - 1].value < e.value; at--)
        l->best[at] = l->best[at - 1];
    l->best[at] = e;
}

static const sb_image *image_of(const list *l, int tile)
{
    return &l->collection.index.images[l->collection.tile[tile].image];
}

static bool is_part(const list *l, int tile, const char *part)
{
    return strcmp(sb_collection_part(&l->collection, tile), part) == 0;
}

/* One of a pair is held out, the other trained on. */
static bool is_across(const list *l, const entry *e)
{
    return is_part(l, e->tile, "held out") && is_part(l, e->other, "train");
}

/* path,page,left,top,side,label,part */
static int put_tile(FILE *f, const list *l, int tile)
{
    const sb_collection *c = &l->collection;
    const sb_image *image = image_of(l, tile);
    char path[PATH_MAX];
    sb_index_path_of(&c->index, image, path);
    const char *label = image->label == UINT32_MAX ? "" : c->index.labels[image->label];
    return csv_fwrite(f, path, strlen(path)) != 0 ||
                   fprintf(f, ",%d,%d,%d,%d,", image->page, c->tile[tile].left, c->tile[tile].top,
                           c->walk.tile) < 0 ||
                   csv_fwrite(f, label, strlen(label)) != 0 ||
                   fprintf(f, ",%s", sb_collection_part(c, tile)) < 0
               ? -1
               : 0;
}

/* What stands behind a tile of a list. */
typedef int (*put_more)(FILE *f, const list *l, const entry *e);

static int write_csv(const list *l, const char *head, put_more more)
{
    char path[PATH_MAX], *text = NULL;
    size_t bytes = 0;
    if (sb_rundir_path(path, l->run_dir, "lists/%s.csv", l->name) != 0)
        return -1;
    FILE *f = open_memstream(&text, &bytes);
    if (!f)
        return sb_fail_errno("no memory for %s", path);
    int rc = fprintf(f, "%s\n", head) < 0 ? -1 : 0;
    for (int i = 0; rc == 0 && i < l->count; i++)
        rc = fprintf(f, "%d,%.6f,", i + 1, l->best[i].value) < 0 || put_tile(f, l, l->best[i].tile) != 0 ||
                     (more && more(f, l, &l->best[i]) != 0) || fputc('\n', f) == EOF
                 ? -1
                 : 0;
    rc = fclose(f) != 0 || rc != 0 ? sb_fail_errno("writing %s", path) : sb_file_replace(path, text, bytes);
    free(text);
    return rc;
}

static void print_tile(const list *l, int tile)
{
    const sb_collection *c = &l->collection;
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s", sb_index_name(&c->index, image_of(l, tile)));
    sb_text_clean(name);
    printf("  %s at %d, %d (%s)", name, c->tile[tile].left, c->tile[tile].top, sb_collection_part(c, tile));
}

static void print_list(const list *l, bool pairs)
{
    for (int i = 0; i < l->count && i < PRINTED; i++) {
        printf("  %7.4f", l->best[i].value);
        print_tile(l, l->best[i].tile);
        if (pairs)
            print_tile(l, l->best[i].other);
        printf("\n");
    }
    printf("%s/lists/%s.csv%s%s%s\n", l->run_dir, l->name, l->count > 0 ? ", " : "",
           l->count > 0 ? l->name : "", l->count > 0 ? ".png" : "");
}

/* ---- pictures --------------------------------------------------------------------------------------------- */

/* A tile into a cell; one that can no longer be decoded leaves it white. */
static int show(sb_walk *walk, sb_sheet *s, int cell, const sb_tile *tile, uint8_t *view)
{
    const int rc = sb_walk_view(walk, tile, view);
    if (rc == 1)
        sb_sheet_put(s, cell % s->columns, cell / s->columns, view, walk->side, walk->channels);
    return rc < 0 ? -1 : 0;
}

/* What is shown beside the tiles of a list, and before them; tile NULL: nothing. */
typedef struct {
    sb_walk *walk;
    const sb_tile *tile;
} question;

/* A list without lines has no picture, and an earlier one of that name goes. */
static int remove_picture(const list *l)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, l->run_dir, "lists/%s.png", l->name) != 0)
        return -1;
    return unlink(path) != 0 && errno != ENOENT ? sb_fail_errno("removing %s", path) : 0;
}

/* The tiles in their order; pairs: each with its other, framed. */
static int draw(list *l, const question *before, bool pairs)
{
    sb_walk *walk = &l->collection.walk;
    const int shown = l->count < PICTURED ? l->count : PICTURED, ahead = before->tile ? 1 : 0,
              each = pairs ? 2 : 1, cells = ahead + each * shown,
              cell = walk->side < SB_CELL_MAX ? walk->side : SB_CELL_MAX;
    char name[64];
    sb_sheet s;
    if (l->count == 0)
        return remove_picture(l);
    uint8_t *view = sb_zeroed((size_t)walk->side * (size_t)walk->side, (size_t)walk->channels,
                              "a view's pixels");
    if (!view || sb_sheet_create(&s, COLUMNS, (cells + COLUMNS - 1) / COLUMNS, cell) != 0) {
        free(view);
        return -1;
    }
    int rc = 0;
    if (ahead) {
        sb_sheet_frame(&s, 0, 0, sb_sheet_blue);
        rc = show(before->walk, &s, 0, before->tile, view);
    }
    for (int i = 0; rc == 0 && i < shown; i++) {
        const entry *e = &l->best[i];
        for (int k = 0; rc == 0 && k < each; k++) {
            const int at = ahead + each * i + k;
            if (pairs)
                sb_sheet_frame(&s, at % COLUMNS, at / COLUMNS,
                               is_across(l, e) ? sb_sheet_red
                               : i % 2         ? sb_sheet_grey
                                               : sb_sheet_blue);
            rc = show(walk, &s, at, &l->collection.tile[k ? e->other : e->tile], view);
        }
    }
    snprintf(name, sizeof name, "lists/%s", l->name);
    if (rc == 0)
        rc = sb_sheet_save(&s, l->run_dir, name);
    free(s.pixels);
    free(view);
    return rc;
}

/* ---- similar ---------------------------------------------------------------------------------------------- */

/* The image that is looked for: an index of itself, its tiles, and what its file is. */
typedef struct {
    char path[PATH_MAX];
    sb_image image;
    sb_index index;
    sb_walk walk;
    sb_walked walked;
    dev_t device;
    ino_t inode;
} query;

/* Whether it is there, and an image: before the data set's tiles are encoded. */
static int open_query(query *q, const char *run_dir, const char *path)
{
    struct stat info;
    sb_settings config;
    sb_decode_header header;
    sb_decoder *decoder;
    if (!realpath(path, q->path) || stat(q->path, &info) != 0)
        return sb_fail_errno("%s", path);
    if (sb_settings_of_run(&config, run_dir, NULL) != 0 ||
        sb_decoder_create(&decoder, &config.data.samples, sb_decoder_most(), config.data.untrusted) != 0)
        return -1;
    const int rc = sb_decoder_probe(decoder, path, 0, &header);
    sb_decoder_destroy(&decoder);
    if (rc != 0)
        return -1;
    q->device = info.st_dev;
    q->inode = info.st_ino;
    q->image = (sb_image){ .bytes = header.bytes,
                           .width = header.width,
                           .height = header.height,
                           .label = UINT32_MAX,
                           .random_access = header.random_access };
    q->index = (sb_index){ .images = &q->image,
                           .count = 1,
                           .names = q->path,
                           .name_bytes = strlen(q->path) + 1,
                           .tile = config.data.tile,
                           .largest_pixels = (uint64_t)header.width * (uint64_t)header.height,
                           .largest_bytes = (uint64_t)header.bytes };
    return 0;
}

static int encode_query(query *q, const list *l, int threads)
{
    if (sb_walk_create(&q->walk, l->run_dir, false, &l->collection.config, &q->index, threads) != 0 ||
        sb_walk_gather(&q->walk, &q->walked) != 0)
        return -1;
    sb_collection_centre(&l->collection, q->walked.feature, q->walked.tiles);
    return 0;
}

static bool is_own(const list *l, const query *q, int tile)
{
    struct stat info;
    char path[PATH_MAX];
    return stat(sb_index_path_of(&l->collection.index, image_of(l, tile), path), &info) == 0 &&
           info.st_dev == q->device && info.st_ino == q->inode;
}

/* Of each tile the highest cosine to one of the image's, which is its other. */
static int find_similar(list *l, const query *q)
{
    const sb_collection *c = &l->collection;
    entry *nearest = sb_zeroed((size_t)c->tiles, sizeof *nearest, "the cosines of tiles");
    int rc = nearest ? 0 : -1;
    for (int t = 0; rc == 0 && t < c->tiles; t++)
        nearest[t] = (entry){ -2, t, 0 };
    for (int from = 0; rc == 0 && from < q->walked.tiles; from += BLOCK) {
        const int rows = q->walked.tiles - from < BLOCK ? q->walked.tiles - from : BLOCK;
        rc = sb_collection_compare(c, q->walked.feature + (size_t)from * (size_t)c->width, rows, l->scores);
        for (int i = 0; rc == 0 && i < rows; i++)
            for (int t = 0; t < c->tiles; t++) {
                const double cosine = l->scores[(size_t)i * (size_t)c->tiles + (size_t)t];
                if (cosine > nearest[t].value)
                    nearest[t] = (entry){ cosine, t, from + i };
            }
    }
    uint32_t image = UINT32_MAX;
    bool own = false;
    for (int t = 0; rc == 0 && t < c->tiles; t++) {
        if (c->tile[t].image != image)
            own = is_own(l, q, t);
        image = c->tile[t].image;
        if (!own)
            keep(l, nearest[t]);
    }
    free(nearest);
    return rc;
}

/* Where in the image the tile lies that this one is near to. */
typedef struct {
    list list;
    query query;
} similar;

static int put_where(FILE *f, const list *l, const entry *e)
{
    const similar *s = (const similar *)l; /* its first member */
    const sb_tile *t = &s->query.walked.tile[e->other];
    return fprintf(f, ",%d,%d", t->left, t->top) < 0 ? -1 : 0;
}

int sb_list_similar(const char *run_dir, const char *path, int most, int threads)
{
    similar s = { .list = { .run_dir = run_dir, .name = "similar", .most = most } };
    int rc = open_query(&s.query, run_dir, path) != 0 ? -1 : open_list(&s.list, threads);
    if (rc == 0 && (encode_query(&s.query, &s.list, threads) != 0 || find_similar(&s.list, &s.query) != 0))
        rc = -1;
    if (rc == 0 && s.list.count == 0)
        rc = sb_fail("the data set has no tile but those of %s", path);
    if (rc == 0) {
        const question q = { &s.query.walk, &s.query.walked.tile[s.list.best[0].other] };
        rc = write_csv(&s.list, "rank,similarity,path,page,left,top,side,label,part,of_left,of_top",
                       put_where) != 0 ||
                     draw(&s.list, &q, false) != 0
                 ? -1
                 : 0;
    }
    if (rc == 0) {
        printf("%d of %d tiles, nearest first, by cosine:\n", s.list.count, s.list.collection.tiles);
        print_list(&s.list, false);
    }
    free(s.query.walked.tile);
    free(s.query.walked.feature);
    sb_walk_free(&s.query.walk);
    close_list(&s.list);
    return rc;
}

/* ---- all tiles with all ----------------------------------------------------------------------------------- */

/* Takes the cosines of tile t to all. */
typedef void (*see_row)(list *l, int t, const float *cosine);

static int compare_all(list *l, see_row see)
{
    const sb_collection *c = &l->collection;
    for (int from = 0; from < c->tiles; from += BLOCK) {
        const int rows = c->tiles - from < BLOCK ? c->tiles - from : BLOCK;
        if (sb_collection_compare(c, c->feature + (size_t)from * (size_t)c->width, rows, l->scores) != 0)
            return -1;
        for (int i = 0; i < rows; i++)
            see(l, from + i, l->scores + (size_t)i * (size_t)c->tiles);
    }
    return 0;
}

static void see_outlier(list *l, int t, const float *cosine)
{
    double near[NEIGHBOURS], sum = 0;
    int found = 0;
    for (int o = 0; o < l->collection.tiles; o++) {
        if (o == t || (found == NEIGHBOURS && cosine[o] <= near[NEIGHBOURS - 1]))
            continue;
        int at = found < NEIGHBOURS ? found++ : NEIGHBOURS - 1;
        for (; at > 0 && near[at - 1] < cosine[o]; at--)
            near[at] = near[at - 1];
        near[at] = cosine[o];
    }
    for (int i = 0; i < found; i++)
        sum += 1 - near[i];
    if (found > 0)
        keep(l, (entry){ sum / found, t, 0 });
}

int sb_list_outliers(const char *run_dir, int most, int threads)
{
    list l = { .run_dir = run_dir, .name = "outliers", .most = most };
    const question none = { 0 };
    int rc = open_list(&l, threads);
    if (rc == 0 && (compare_all(&l, see_outlier) != 0 ||
                    write_csv(&l, "rank,distance,path,page,left,top,side,label,part", NULL) != 0 ||
                    draw(&l, &none, false) != 0))
        rc = -1;
    if (rc == 0) {
        printf("%d of %d tiles, the most isolated first, by the mean of 1 - cosine to their %d nearest:\n",
               l.count, l.collection.tiles, NEIGHBOURS);
        print_list(&l, false);
    }
    close_list(&l);
    return rc;
}

/* ---- duplicates ------------------------------------------------------------------------------------------- */

static int put_other(FILE *f, const list *l, const entry *e)
{
    return fputc(',', f) == EOF || put_tile(f, l, e->other) != 0 ||
                   fprintf(f, ",%s", is_across(l, e) ? "yes" : "no") < 0
               ? -1
               : 0;
}

typedef struct {
    list list;
    double least;
    long long pairs; /* from `least` on */
} duplicates;

static void see_duplicates(list *l, int t, const float *cosine)
{
    duplicates *d = (duplicates *)l; /* its first member */
    const sb_collection *c = &l->collection;
    for (int o = t + 1; o < c->tiles; o++) {
        if (cosine[o] < d->least || image_of(l, o)->file == image_of(l, t)->file)
            continue;
        const bool swapped = is_part(l, t, "train") && is_part(l, o, "held out");
        d->pairs++;
        keep(l, (entry){ cosine[o], swapped ? o : t, swapped ? t : o });
    }
}

int sb_list_duplicates(const char *run_dir, int most, double least, int threads)
{
    duplicates d = { .list = { .run_dir = run_dir, .name = "duplicates", .most = most }, .least = least };
    list *l = &d.list;
    const question none = { 0 };
    int rc = open_list(l, threads);
    if (rc == 0 &&
        (compare_all(l, see_duplicates) != 0 ||
         write_csv(l,
                   "rank,similarity,path,page,left,top,side,label,part,drop_path,drop_page,drop_left,"
                   "drop_top,drop_side,drop_label,drop_part,across",
                   put_other) != 0 ||
         draw(l, &none, true) != 0))
        rc = -1;
    if (rc == 0) {
        printf("%lld pair%s of %d tile%s with a cosine of %g or more%s\n", d.pairs,
               sb_plural((uint64_t)d.pairs), l->collection.tiles, sb_plural((uint64_t)l->collection.tiles),
               least, l->count == 0 ? ": lower it with --from" : ", the nearest first:");
        print_list(l, true);
    }
    close_list(l);
    return rc;
}
