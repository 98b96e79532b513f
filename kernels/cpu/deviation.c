/* deviation.c: deviations of columns on the CPU. A thread has TILE columns of a group and adds its rows in
 * order, in f64, so no result depends on the number of threads. */
#include "kernels/op/deviation.h"

#include <math.h>

#include "kernels/cpu/cpu.h"

#define TILE 64

/* Means of `count` columns from x on. */
static void means(size_t samples, size_t columns, size_t count, const float *x, double mean[TILE])
{
    for (size_t c = 0; c < count; c++)
        mean[c] = 0;
    for (size_t r = 0; r < samples; r++)
        for (size_t c = 0; c < count; c++)
            mean[c] += x[r * columns + c];
    for (size_t c = 0; c < count; c++)
        mean[c] /= (double)samples;
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_deviation_how *how = call->how;
    size_t columns = (size_t)call->xs[0].c, samples = (size_t)how->samples, groups = (size_t)call->ys.n;
#pragma omp parallel for collapse(2) schedule(static)
    for (size_t group = 0; group < groups; group++)
        for (size_t first = 0; first < columns; first += TILE) {
            size_t count = columns - first < TILE ? columns - first : TILE;
            const float *x = (const float *)call->x[0] + group * samples * columns + first;
            double mean[TILE], squares[TILE] = { 0 };
            means(samples, columns, count, x, mean);
            for (size_t r = 0; r < samples; r++)
                for (size_t c = 0; c < count; c++) {
                    double off = x[r * columns + c] - mean[c];
                    squares[c] += off * off;
                }
            for (size_t c = 0; c < count; c++)
                ((float *)call->y)[group * columns + first + c] = (float)sqrt(
                    squares[c] / (double)(samples - 1) + how->epsilon);
        }
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    size_t columns = (size_t)call->xs[0].c, samples = (size_t)((const sb_deviation_how *)call->how)->samples,
           groups = (size_t)call->ys.n;
#pragma omp parallel for collapse(2) schedule(static)
    for (size_t group = 0; group < groups; group++)
        for (size_t first = 0; first < columns; first += TILE) {
            size_t count = columns - first < TILE ? columns - first : TILE,
                   begin = group * samples * columns + first, at = group * columns + first;
            const float *x = (const float *)call->x[0] + begin, *y = (const float *)call->y + at,
                        *dy = (const float *)call->dy + at;
            double mean[TILE], factor[TILE];
            means(samples, columns, count, x, mean);
            for (size_t c = 0; c < count; c++)
                factor[c] = y[c] <= 0 ? 0 : dy[c] / ((double)(samples - 1) * y[c]);
            for (size_t r = 0; r < samples; r++)
                for (size_t c = 0; c < count; c++)
                    sb_cpu_give(call->dx[0], begin + r * columns + c,
                                (float)(factor[c] * (x[r * columns + c] - mean[c])), call->add[0]);
        }
    return 0;
}

const sb_kernel sb_cpu_deviation = { .forward = forward, .backward = backward };
