/* largest.c: the largest coordinate of the clean tiles' features. */
#include "evaluator/metrics/metrics.h"

static int largest(const sb_features *f, double *out)
{
    *out = -1;
    for (int i = 0; i < f->tiles * f->width; i++)
        *out = (double)f->clean[i] > *out ? (double)f->clean[i] : *out;
    return 0;
}

const sb_metric sb_metric_largest = { .key = "largest", .title = "largest", .measure = largest };
