/* bias.c: see bias.h. */
#include "kernels/cpu/bias.h"

/* Columns that one thread sums: a cache line of f32, so that no two threads read the same. */
#define COLUMNS 16

static void add_sums(const sb_shape *y, const void *dy, size_t first, size_t count, float *dbias)
{
    const size_t rows = sb_shape_rows(y), c = (size_t)y->c;
    double sums[COLUMNS] = { 0 };
    float row[COLUMNS];
    for (size_t r = 0; r < rows; r++) {
        sb_cpu_load_row(dy, y->type, r * c + first, (int)count, row);
#pragma omp simd
        for (size_t i = 0; i < count; i++)
            sums[i] += (double)row[i];
    }
    for (size_t i = 0; i < count; i++)
        dbias[first + i] += (float)sums[i];
}

void sb_cpu_bias_back(const sb_shape *y, const void *dy, float *dbias)
{
    const size_t c = (size_t)y->c, tiles = (c + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < tiles; t++)
        add_sums(y, dy, t * COLUMNS, (t + 1) * COLUMNS <= c ? COLUMNS : c - t * COLUMNS, dbias);
}
