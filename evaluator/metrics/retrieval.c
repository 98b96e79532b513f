/* retrieval.c: is the nearest one the right one? See metrics.h. */
#include <stddef.h>

#include "evaluator/metrics/metrics.h"

static double dot(const float *a, const float *b, int width)
{
    double sum = 0;
    for (int k = 0; k < width; k++)
        sum += (double)a[k] * b[k];
    return sum;
}

double sb_metric_retrieval(const float *gallery, int tiles, const float *queries, int each, int width,
                           uint32_t *nearest)
{
    int hits = 0;
    for (int q = 0; q < tiles * each; q++) {
        int best = 0;
        double most = -2;
        for (int t = 0; t < tiles; t++) {
            double s = dot(queries + (size_t)q * (size_t)width, gallery + (size_t)t * (size_t)width, width);
            if (s > most) {
                most = s;
                best = t;
            }
        }
        hits += best == q / each;
        if (nearest)
            nearest[q] = (uint32_t)best;
    }
    return (double)hits / ((double)tiles * each);
}

double sb_metric_group_retrieval(const float *gallery, const uint32_t *group, int tiles, int width)
{
    int counted = 0, hits = 0;
    for (int i = 0; i < tiles; i++) {
        int best = -1, others = 0;
        double most = -2;
        for (int j = 0; j < tiles; j++) {
            if (j == i)
                continue;
            others += group[j] == group[i];
            double s = dot(gallery + (size_t)i * (size_t)width, gallery + (size_t)j * (size_t)width, width);
            if (s > most) {
                most = s;
                best = j;
            }
        }
        if (others == 0)
            continue;
        counted++;
        hits += group[best] == group[i];
    }
    return counted ? (double)hits / counted : -1;
}

double sb_metric_chance(const uint32_t *id, int rows)
{
    int counted = 0, known = 0;
    double expected = 0;
    for (int i = 0; i < rows; i++)
        known += id[i] != UINT32_MAX;
    for (int i = 0; i < rows; i++) {
        int others = 0;
        for (int j = 0; j < rows; j++)
            others += j != i && id[j] == id[i];
        if (id[i] == UINT32_MAX || others == 0)
            continue;
        counted++;
        expected += (double)others / (known - 1);
    }
    return counted ? expected / counted : -1;
}
