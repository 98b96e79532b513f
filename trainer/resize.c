/* resize.c: see resize.h. */
#include "trainer/resize.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "kernels/share/resample.h"
#include "proto/memory.h"

/* How much of place `old`, of k, lies under place `at`, of m. */
static double overlap(int64_t old, int64_t k, int64_t at, int64_t m)
{
    const double scale = (double)k / (double)m, begin = scale * (double)at, end = scale * (double)(at + 1);
    return fmax(fmin(end, (double)(old + 1)) - fmax(begin, (double)old), 0);
}

/* One value of a resized filter, of the sum over the channels of the old one, [channels, k[0], k[1]]. */
static double resized(const float *old, int64_t channels, const int64_t *k, int64_t y, int64_t x,
                      const int64_t *m)
{
    double sum = 0;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < k[0]; i++)
            for (int64_t j = 0; j < k[1]; j++)
                sum += overlap(i, k[0], y, m[0]) * overlap(j, k[1], x, m[1]) *
                       (double)old[(c * k[0] + i) * k[1] + j];
    return sum;
}

void sb_resize_filters(const float *from, const int64_t *is, float *to, const int64_t *be)
{
    const bool more = is[1] == 3 && be[1] > 3, each = more || is[1] == be[1];
    const int64_t summed = each ? 1 : is[1], old = is[2] * is[3];
    const double share = each ? 1 : (double)be[1]; /* one of the two is 1 */
    for (int64_t o = 0; o < be[0]; o++)
        for (int64_t c = 0; c < be[1]; c++)
            for (int64_t y = 0; y < be[2]; y++)
                for (int64_t x = 0; x < be[3]; x++)
                    *to++ = more && c >= 3 ? 0
                                           : (float)(resized(from + (o * is[1] + (each ? c : 0)) * old,
                                                             summed, is + 2, y, x, be + 2) /
                                                     share);
}

/* Row i of a table, resized along both axes: the sum over the old grid's places. matrix: [be, is]. */
static void resize_place(const float *from, int64_t is, const float *down, const float *across, int64_t width,
                         float *to)
{
    for (int64_t c = 0; c < width; c++)
        to[c] = 0;
    for (int64_t i = 0; i < is; i++)
        for (int64_t j = 0; j < is; j++) {
            const float share = down[i] * across[j], *row = from + (i * is + j) * width;
            for (int64_t c = 0; share != 0 && c < width; c++)
                to[c] += share * row[c];
        }
}

int sb_resize_grid(const float *from, int64_t is, float *to, int64_t be, int64_t width)
{
    float *matrix = sb_grown(NULL, (size_t)(is * be), sizeof *matrix, "a matrix of positions");
    if (!matrix)
        return -1;
    for (int64_t i = 0; i < be; i++)
        sb_cubic_row((int)is, (int)be, (int)i, matrix + i * is);
    for (int64_t i = 0; i < be * be; i++)
        resize_place(from, is, matrix + i / be * is, matrix + i % be * is, width, to + i * width);
    free(matrix);
    return 0;
}
