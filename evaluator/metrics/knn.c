/* knn.c: weighted nearest-neighbour classification. See metrics.h. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "evaluator/metrics/metrics.h"
#include "proto/memory.h"

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

int sb_metric_knn(const float *features, const uint32_t *labels, int rows, int width, int k,
                  double temperature, double *top1, double *top5)
{
    uint32_t classes = 0;
    for (int i = 0; i < rows; i++)
        if (labels[i] != UINT32_MAX && labels[i] >= classes)
            classes = labels[i] + 1;
    *top1 = *top5 = -1;
    if (classes == 0)
        return 0;
    neighbour *near = sb_zeroed((size_t)rows, sizeof *near, "the neighbours of a tile");
    double *votes = sb_zeroed(classes, sizeof *votes, "the votes of neighbours");
    int rc = near && votes ? 0 : -1;
    int counted = 0, first = 0, five = 0;
    for (int i = 0; rc == 0 && i < rows; i++) {
        if (labels[i] == UINT32_MAX)
            continue;
        int found = 0;
        for (int j = 0; j < rows; j++) {
            if (j == i || labels[j] == UINT32_MAX)
                continue;
            double s = 0;
            for (int c = 0; c < width; c++)
                s += (double)features[(size_t)i * (size_t)width + (size_t)c] *
                     features[(size_t)j * (size_t)width + (size_t)c];
            near[found++] = (neighbour){ .similarity = s, .row = j };
        }
        if (found == 0)
            continue;
        qsort(near, (size_t)found, sizeof *near, nearer);
        for (uint32_t c = 0; c < classes; c++)
            votes[c] = 0;
        for (int n = 0; n < found && n < k; n++)
            votes[labels[near[n].row]] += exp((near[n].similarity - near[0].similarity) / temperature);
        uint32_t better = 0; /* classes with more votes than the right one; a class without votes is behind
                                all that have some */
        for (uint32_t c = 0; c < classes; c++)
            better += votes[c] > votes[labels[i]] || (c < labels[i] && votes[c] == votes[labels[i]]);
        counted++;
        first += better == 0 && votes[labels[i]] > 0;
        five += better < 5 && votes[labels[i]] > 0;
    }
    free(near);
    free(votes);
    if (counted > 0) {
        *top1 = (double)first / counted;
        *top5 = (double)five / counted;
    }
    return rc;
}
