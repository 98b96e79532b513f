/* spread.c: how near positives are, and how evenly features fill the sphere. See metrics.h. */
#include <math.h>
#include <stddef.h>

#include "evaluator/metrics/metrics.h"

void sb_metric_unit_rows(float *x, size_t rows, int width)
{
    for (size_t i = 0; i < rows; i++) {
        float *row = x + i * (size_t)width;
        double length = 0;
        for (int k = 0; k < width; k++)
            length += (double)row[k] * row[k];
        float scale = (float)(1 / fmax(sqrt(length), 1e-12));
        for (int k = 0; k < width; k++)
            row[k] *= scale;
    }
}

static double distance2(const float *a, const float *b, int width)
{
    double sum = 0;
    for (int k = 0; k < width; k++)
        sum += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
    return sum;
}

double sb_metric_alignment(const float *a, const float *b, int rows, int width)
{
    double sum = 0;
    for (int i = 0; i < rows; i++)
        sum += distance2(a + (size_t)i * (size_t)width, b + (size_t)i * (size_t)width, width);
    return sum / rows;
}

double sb_metric_uniformity(const float *x, int rows, int width)
{
    double sum = 0;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < i; j++)
            sum += exp(-2 * distance2(x + (size_t)i * (size_t)width, x + (size_t)j * (size_t)width, width));
    return log(sum / ((double)rows * (rows - 1) / 2));
}

double sb_metric_deviation(const float *x, int rows, int width)
{
    double sum = 0;
    for (int k = 0; k < width; k++) {
        double mean = 0, square = 0;
        for (int i = 0; i < rows; i++)
            mean += x[(size_t)i * (size_t)width + (size_t)k];
        mean /= rows;
        for (int i = 0; i < rows; i++) {
            double d = x[(size_t)i * (size_t)width + (size_t)k] - mean;
            square += d * d;
        }
        sum += sqrt(square / rows);
    }
    return sum / width * sqrt(width);
}
