/* knn.c: weighted nearest-neighbour classification of the clean tiles: K neighbours with weights exp(s /
 * temperature) (Wu et al. 2018) vote; a row has no vote on itself. The result is the share of rows whose
 * label comes first, or among the first five. Rows without a label do not count. */
#include <math.h>
#include <stdlib.h>

#include "evaluator/metrics/metrics.h"
#include "proto/memory.h"

#define NEIGHBOURS 20
#define TEMPERATURE 0.07

typedef struct {
    double similarity;
    int row;
} neighbour;

/* Nearest first; ties by row, so that the order is total. */
static int nearer(const void *a, const void *b)
{
    const neighbour *x = a, *y = b;
    if (x->similarity != y->similarity)
        return x->similarity < y->similarity ? 1 : -1;
    return x->row - y->row;
}

/* top: how many of the labels with the most votes may be the right one. */
static int classify(const sb_features *f, int top, double *out)
{
    const uint32_t *labels = f->label;
    const int rows = f->tiles, width = f->width;
    uint32_t classes = 0;
    for (int i = 0; i < rows; i++)
        if (labels[i] != UINT32_MAX && labels[i] >= classes)
            classes = labels[i] + 1;
    *out = SB_LACKS;
    if (classes == 0)
        return 0;
    neighbour *near = sb_zeroed((size_t)rows, sizeof *near, "the neighbours of a tile");
    double *votes = sb_zeroed(classes, sizeof *votes, "the votes for labels");
    int rc = near && votes ? 0 : -1, counted = 0, right = 0;
    for (int i = 0; rc == 0 && i < rows; i++) {
        if (labels[i] == UINT32_MAX)
            continue;
        int found = 0;
        for (int j = 0; j < rows; j++) {
            if (j == i || labels[j] == UINT32_MAX)
                continue;
            double s = 0;
            for (int c = 0; c < width; c++)
                s += (double)f->clean[(size_t)i * (size_t)width + (size_t)c] *
                     f->clean[(size_t)j * (size_t)width + (size_t)c];
            near[found++] = (neighbour){ .similarity = s, .row = j };
        }
        if (found == 0)
            continue;
        qsort(near, (size_t)found, sizeof *near, nearer);
        for (uint32_t c = 0; c < classes; c++)
            votes[c] = 0;
        for (int n = 0; n < found && n < NEIGHBOURS; n++)
            votes[labels[near[n].row]] += exp((near[n].similarity - near[0].similarity) / TEMPERATURE);
        uint32_t better = 0; /* classes with more votes than the right one; a class without votes is behind
                                all that have some */
        for (uint32_t c = 0; c < classes; c++)
            better += votes[c] > votes[labels[i]] || (c < labels[i] && votes[c] == votes[labels[i]]);
        counted++;
        right += better < (uint32_t)top && votes[labels[i]] > 0;
    }
    free(near);
    free(votes);
    if (counted > 0)
        *out = (double)right / counted;
    return rc;
}

static int top1(const sb_features *f, double *out) { return classify(f, 1, out); }
static int top5(const sb_features *f, double *out) { return classify(f, 5, out); }
static double another_of_the_label(const sb_features *f) { return sb_metric_chance(f->label, f->tiles); }

const sb_metric sb_metric_knn_top1 = { .key = "knn_top1",
                                       .title = "kNN top-1",
                                       .tells = 3,
                                       .share = true,
                                       .measure = top1,
                                       .chance = another_of_the_label };
const sb_metric sb_metric_knn_top5 = { .key = "knn_top5", .title = "top-5", .share = true, .measure = top5 };
