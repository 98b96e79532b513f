/* bias.c: see bias.h. */
#include "kernels/cpu/bias.h"

/* Columns that one thread sums, at most: a cache line of f32, so that no two threads read the same. */
#define COLUMNS 16

static void add_sums(const sb_shape *y, const void *dy, int first, int count, float *dbias)
{
    const size_t places = (size_t)y->h * (size_t)y->w, step = sb_cpu_step(y);
    double sums[COLUMNS] = { 0 };
    float row[COLUMNS];
    for (int n = 0; n < y->n; n++) {
        const size_t begin = sb_shape_at(y, (size_t)n * places, (size_t)first);
        for (size_t p = 0; p < places; p++) {
            sb_cpu_load_row(dy, y->type, begin + p * step, count, row);
#pragma omp simd
            for (int i = 0; i < count; i++)
                sums[i] += (double)row[i];
        }
    }
    for (int i = 0; i < count; i++)
        dbias[first + i] += (float)sums[i];
}

void sb_cpu_bias_back(const sb_shape *y, const void *dy, float *dbias)
{
    const int width = sb_cpu_run(y, 0, COLUMNS);
#pragma omp parallel for schedule(static)
    for (int first = 0; first < y->c; first += width)
        add_sums(y, dy, first, sb_cpu_run(y, first, COLUMNS), dbias);
}
