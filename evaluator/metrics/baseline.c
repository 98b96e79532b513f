/* baseline.c: features that need no network. See metrics.h. */
#include <math.h>
#include <stddef.h>

#include "evaluator/metrics/metrics.h"

/* Takes the mean away and scales to length 1. */
static void normalise(float *feature, int width)
{
    double mean = 0, length = 0;
    for (int k = 0; k < width; k++)
        mean += feature[k];
    mean /= width;
    for (int k = 0; k < width; k++)
        length += (feature[k] - mean) * (feature[k] - mean);
    length = fmax(sqrt(length), 1e-12);
    for (int k = 0; k < width; k++)
        feature[k] = (float)((feature[k] - mean) / length);
}

int sb_baseline_pixels_width(int channels) { return SB_BASELINE_PIXELS * SB_BASELINE_PIXELS * channels; }

void sb_baseline_pixels(const uint8_t *view, int side, int channels, float *feature)
{
    for (int y = 0; y < SB_BASELINE_PIXELS; y++) {
        for (int x = 0; x < SB_BASELINE_PIXELS; x++) {
            int top = y * side / SB_BASELINE_PIXELS, bottom = (y + 1) * side / SB_BASELINE_PIXELS;
            int left = x * side / SB_BASELINE_PIXELS, right = (x + 1) * side / SB_BASELINE_PIXELS;
            bottom += bottom == top; /* a view of fewer pixels shows some twice */
            right += right == left;
            for (int c = 0; c < channels; c++) {
                double sum = 0;
                for (int i = top; i < bottom; i++)
                    for (int j = left; j < right; j++)
                        sum += view[((size_t)i * (size_t)side + (size_t)j) * (size_t)channels + (size_t)c];
                feature[(y * SB_BASELINE_PIXELS + x) * channels + c] = (float)(sum / ((bottom - top) *
                                                                                      (right - left)));
            }
        }
    }
    normalise(feature, sb_baseline_pixels_width(channels));
}

int sb_baseline_colour_width(int channels) { return 2 * channels + 2; }

void sb_baseline_colour(const uint8_t *view, int side, int channels, float *feature)
{
    size_t count = (size_t)side * (size_t)side;
    for (int c = 0; c < channels; c++) {
        double mean = 0, square = 0;
        for (size_t i = 0; i < count; i++)
            mean += view[i * (size_t)channels + (size_t)c];
        mean /= (double)count;
        for (size_t i = 0; i < count; i++)
            square += pow(view[i * (size_t)channels + (size_t)c] - mean, 2);
        feature[2 * (size_t)c] = (float)mean;
        feature[2 * (size_t)c + 1] = (float)sqrt(square / (double)count);
    }
    /* Mean step of the first channel to the right and down. */
    double right = 0, down = 0;
    for (int y = 0; y + 1 < side; y++) {
        for (int x = 0; x + 1 < side; x++) {
            const uint8_t *p = view + ((size_t)y * (size_t)side + (size_t)x) * (size_t)channels;
            right += fabs((double)p[channels] - p[0]);
            down += fabs((double)p[(size_t)side * (size_t)channels] - p[0]);
        }
    }
    feature[2 * (size_t)channels] = (float)(right / (double)count);
    feature[2 * (size_t)channels + 1] = (float)(down / (double)count);
    normalise(feature, sb_baseline_colour_width(channels));
}
