/* dense.c: DSE, the structure of maps (Dai et al. 2025): how far clusters of places are from each other, plus
 * the effective number of directions as a share of the possible one, less how far clusters spread. Features
 * of places have length 1.
 *
 *   inter  mean distance of a place to the nearest centre of another cluster, 24 clusters of 8 tiles
 *   rank   effective number of singular values of these tiles' places, over the smaller side
 *   intra  half the mean over those clusters, and half the mean over 3 clusters of each tile (of a tile's,
 * then of tiles), of the sum of singular values of a cluster's places less their mean, over the root of the
 *          larger of rows - 1 and width
 *   DSE = inter / l + rank - intra / l, l = the mean distance of a place to the mean of all
 *
 * That is what the authors' code computes, but for two things: clusters begin at the places that are farthest
 * from those chosen before (from the first place on), instead of drawn ones, so that the same features give
 * the same number; and rank is of all places of 8 tiles, not of one place of each. At most 20 rounds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/metrics/metrics.h"
#include "proto/memory.h"
#include "trainer/spread.h"

#define TOGETHER 8 /* tiles */
#define CLUSTERS 24
#define OF_A_TILE 3
#define ROUNDS 20

/* Rows x [rows, width], and room to cluster them. */
typedef struct {
    const float *x;
    int rows, width, clusters;
    double *centre;  /* [CLUSTERS, width] */
    double *far;     /* [rows]: squared distance to the nearest centre */
    int *cluster;    /* [rows] */
    float *gathered; /* [rows, width] */
    double *singular;
} clustering;

static double square_distance(const float *x, const double *centre, int width)
{
    double sum = 0;
    for (int k = 0; k < width; k++)
        sum += (x[k] - centre[k]) * (x[k] - centre[k]);
    return sum;
}

static const float *row_of(const clustering *c, int i) { return c->x + (size_t)i * (size_t)c->width; }
static double *centre_of(const clustering *c, int k) { return c->centre + (size_t)k * (size_t)c->width; }

static void place_centre(clustering *c, int k, int row)
{
    for (int i = 0; i < c->width; i++)
        centre_of(c, k)[i] = row_of(c, row)[i];
}

/* Each row to its nearest centre of the first `centres`. True if one has changed its cluster. */
static bool assign(clustering *c, int centres)
{
    bool changed = false;
    for (int i = 0; i < c->rows; i++) {
        const int before = c->cluster[i];
        c->far[i] = INFINITY;
        for (int k = 0; k < centres; k++) {
            const double d = square_distance(row_of(c, i), centre_of(c, k), c->width);
            if (d < c->far[i]) {
                c->far[i] = d;
                c->cluster[i] = k;
            }
        }
        changed = changed || c->cluster[i] != before;
    }
    return changed;
}

static int farthest(const clustering *c)
{
    int row = 0;
    for (int i = 1; i < c->rows; i++)
        row = c->far[i] > c->far[row] ? i : row;
    return row;
}

/* Centres to the means of their rows; one without rows stays. */
static void move_centres(clustering *c)
{
    for (int k = 0; k < c->clusters; k++) {
        int count = 0;
        for (int i = 0; i < c->rows; i++)
            count += c->cluster[i] == k;
        if (count > 0)
            memset(centre_of(c, k), 0, (size_t)c->width * sizeof *c->centre);
        for (int i = 0; i < c->rows; i++)
            for (int j = 0; c->cluster[i] == k && j < c->width; j++)
                centre_of(c, k)[j] += (double)row_of(c, i)[j] / count;
    }
}

static void cluster(clustering *c, const float *x, int rows, int clusters)
{
    c->x = x;
    c->rows = rows;
    c->clusters = rows < clusters ? rows : clusters;
    place_centre(c, 0, 0);
    assign(c, 1);
    for (int k = 1; k < c->clusters; k++) {
        place_centre(c, k, farthest(c));
        assign(c, k + 1);
    }
    bool moves = true;
    for (int round = 0; round < ROUNDS && moves; round++) {
        move_centres(c);
        moves = assign(c, c->clusters);
    }
}

/* Adds the sums of singular values of the clusters with two rows or more to *sum, and their number to *count.
 */
static int add_inner(clustering *c, double *sum, int *count)
{
    const size_t width = (size_t)c->width;
    for (int k = 0; k < c->clusters; k++) {
        int rows = 0;
        for (int i = 0; i < c->rows; i++)
            if (c->cluster[i] == k)
                memcpy(c->gathered + (size_t)rows++ * width, row_of(c, i), width * sizeof(float));
        if (rows < 2)
            continue;
        if (sb_spread_singular(c->gathered, rows, c->width, true, c->singular) != 0)
            return -1;
        double all = 0;
        for (int i = 0; i < (rows < c->width ? rows : c->width); i++)
            all += c->singular[i];
        *sum += all / sqrt(rows - 1 > c->width ? rows - 1 : c->width);
        ++*count;
    }
    return 0;
}

/* Mean distance of a row to the nearest centre of another cluster; 0 where there is one alone. */
static double between(const clustering *c)
{
    double sum = 0;
    for (int i = 0; i < c->rows; i++) {
        double least = INFINITY;
        for (int k = 0; k < c->clusters; k++)
            if (k != c->cluster[i])
                least = fmin(least, square_distance(row_of(c, i), centre_of(c, k), c->width));
        sum += c->clusters > 1 ? sqrt(least) : 0;
    }
    return sum / c->rows;
}

/* The parts of a sum, and how many each is the mean of. */
typedef struct {
    double inter, rank, together, alone;
    int groups, clusters, tiles;
} parts;

static int add_group(clustering *c, const float *x, int rows, parts *p)
{
    cluster(c, x, rows, CLUSTERS);
    p->inter += between(c);
    if (add_inner(c, &p->together, &p->clusters) != 0 ||
        sb_spread_singular(x, rows, c->width, false, c->singular) != 0)
        return -1;
    const int least = rows < c->width ? rows : c->width;
    p->rank += sb_spread_effective(c->singular, least, 1e-12) / least;
    p->groups++;
    return 0;
}

static int add_tile(clustering *c, const float *x, int rows, parts *p)
{
    double sum = 0;
    int count = 0;
    cluster(c, x, rows, OF_A_TILE);
    if (add_inner(c, &sum, &count) != 0)
        return -1;
    p->alone += count > 0 ? sum / count : 0;
    p->tiles += count > 0;
    return 0;
}

/* Mean distance to the mean of all; mean[width] starts as zeros. */
static double length_of(const float *x, int rows, int width, double *mean)
{
    double sum = 0;
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < width; k++)
            mean[k] += (double)x[(size_t)i * (size_t)width + (size_t)k] / rows;
    for (int i = 0; i < rows; i++)
        sum += sqrt(square_distance(x + (size_t)i * (size_t)width, mean, width));
    return sum / rows;
}

static int measure(clustering *c, const float *x, const sb_place_features *s, double *out)
{
    const size_t tile = (size_t)s->places * (size_t)s->width;
    parts p = { 0 };
    const double length = length_of(x, s->tiles * s->places, s->width, c->centre);
    for (int t = 0; t < s->tiles; t += TOGETHER) {
        const int tiles = s->tiles - t < TOGETHER ? s->tiles - t : TOGETHER;
        if (add_group(c, x + (size_t)t * tile, tiles * s->places, &p) != 0)
            return -1;
    }
    for (int t = 0; t < s->tiles; t++)
        if (add_tile(c, x + (size_t)t * tile, s->places, &p) != 0)
            return -1;
    *out = p.rank / p.groups;
    if (length > 1e-12)
        *out += (p.inter / p.groups - (p.clusters ? p.together / p.clusters : 0) / 2 -
                 (p.tiles ? p.alone / p.tiles : 0) / 2) /
                length;
    return 0;
}

static int dense(const sb_features *f, double *out)
{
    const sb_place_features *s = &f->places;
    const size_t width = (size_t)s->width, all = (size_t)s->tiles * (size_t)s->places,
                 together = (size_t)TOGETHER * (size_t)s->places;
    *out = SB_LACKS;
    if (s->tiles == 0 || s->places < 2)
        return 0;
    float *x = sb_zeroed(all * width, sizeof *x, "the features of places");
    clustering c = { .width = s->width,
                     .centre = sb_zeroed(CLUSTERS * width, sizeof *c.centre, "the centres of clusters"),
                     .far = sb_zeroed(together, sizeof *c.far, "the distances of places"),
                     .cluster = sb_zeroed(together, sizeof *c.cluster, "the clusters of places"),
                     .gathered = sb_zeroed(together * width, sizeof *c.gathered, "the places of a cluster"),
                     .singular = sb_zeroed(width, sizeof *c.singular, "the singular values of a cluster") };
    int rc = x && c.centre && c.far && c.cluster && c.gathered && c.singular ? 0 : -1;
    if (rc == 0) {
        memcpy(x, s->feature, all * width * sizeof *x);
        sb_spread_unit(x, all, s->width);
        rc = measure(&c, x, s, out);
    }
    free(x);
    free(c.centre);
    free(c.far);
    free(c.cluster);
    free(c.gathered);
    free(c.singular);
    return rc;
}

const sb_metric sb_metric_dense = {
    .key = "dense_structure", .title = "DSE", .place = SB_IN_SPREAD, .measure = dense
};
