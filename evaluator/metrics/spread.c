/* spread.c: how near positives are, and how evenly features fill the sphere. See metrics.h. */
#include <math.h>

#include "evaluator/metrics/metrics.h"
#include "trainer/spread.h"

static double distance2(const float *a, const float *b, int width)
{
    double sum = 0;
    for (int k = 0; k < width; k++)
        sum += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
    return sum;
}

double sb_metric_squared_distance(const float *a, const float *b, int rows, int width)
{
    double sum = 0;
    for (int i = 0; i < rows; i++)
        sum += distance2(a + (size_t)i * (size_t)width, b + (size_t)i * (size_t)width, width);
    return sum / rows;
}

double sb_metric_evenness(const float *x, int rows, int width)
{
    double sum = 0;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < i; j++)
            sum += exp(-2 * distance2(x + (size_t)i * (size_t)width, x + (size_t)j * (size_t)width, width));
    return log(sum / ((double)rows * (rows - 1) / 2));
}

/* Of a distorted view and its clean tile: smaller is nearer. */
static int alignment(const sb_features *f, double *out)
{
    const size_t width = (size_t)f->width;
    *out = 0;
    for (int t = 0; t < f->tiles; t++)
        for (int d = 0; d < f->distorted; d++)
            *out += distance2(f->clean + (size_t)t * width,
                              f->view + ((size_t)t * (size_t)f->distorted + (size_t)d) * width, f->width);
    *out /= (double)f->tiles * f->distorted;
    return 0;
}

/* Of the clean tiles: more negative is more even. */
static int uniformity(const sb_features *f, double *out)
{
    *out = sb_metric_evenness(f->clean, f->tiles, f->width);
    return 0;
}

static int deviation(const sb_features *f, double *out)
{
    *out = sb_spread_deviation(f->view, f->tiles * f->distorted, f->width);
    return 0;
}

const sb_metric sb_metric_alignment = {
    .key = "alignment", .title = "alignment", .place = SB_IN_SPREAD, .measure = alignment
};
const sb_metric sb_metric_uniformity = {
    .key = "uniformity", .title = "uniformity", .place = SB_IN_SPREAD, .measure = uniformity
};
const sb_metric sb_metric_deviation = {
    .key = "deviation", .title = "deviation", .place = SB_IN_SPREAD, .measure = deviation
};
