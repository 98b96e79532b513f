/* gridpool.c: averages over the cells of a grid on the CPU. */
#include "kernels/op/gridpool.h"

#include "kernels/cpu/cpu.h"

#define BLOCK 64 /* channels that are worked on at once */

/* Channels k .. k + count - 1 of cell (i, j) of an image. */
static void pool(const sb_call *call, const sb_gridpool *s, int n, int i, int j, int k, int count)
{
    const size_t c = (size_t)s->channels, grid = (size_t)s->grid;
    const int height = sb_gridpool_length(i, s->side, s->grid),
              width = sb_gridpool_length(j, s->side, s->grid);
    double sum[BLOCK] = { 0 };
    float buffer[BLOCK];
    for (int y = sb_gridpool_begin(i, s->side, s->grid), down = 0; down < height; y++, down++)
        for (int x = sb_gridpool_begin(j, s->side, s->grid), along = 0; along < width; x++, along++) {
            const size_t at = sb_gridpool_row(s, n, y, x) * c + (size_t)k;
            const float *row = sb_cpu_row(call->x[0], call->xs[0].type, at, count, buffer);
#pragma omp simd
            for (int channel = 0; channel < count; channel++)
                sum[channel] += (double)row[channel];
        }
    float *to = (float *)call->y + (((size_t)n * grid + (size_t)i) * grid + (size_t)j) * c + (size_t)k;
    for (int channel = 0; channel < count; channel++)
        to[channel] = (float)(sum[channel] / (height * width));
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_gridpool s = sb_gridpool_of(call->how, &call->xs[0]);
#pragma omp parallel for collapse(3) schedule(static)
    for (int n = 0; n < s.images; n++)
        for (int i = 0; i < s.grid; i++)
            for (int j = 0; j < s.grid; j++)
                for (int k = 0; k < s.channels; k += BLOCK)
                    pool(call, &s, n, i, j, k, s.channels - k < BLOCK ? s.channels - k : BLOCK);
    return 0;
}

/* The share of place (y, x) in the gradients of the cells that cover it. */
static void spread(const sb_call *call, const sb_gridpool *s, int n, int y, int x, int k, int count)
{
    const size_t c = (size_t)s->channels, grid = (size_t)s->grid;
    double sum[BLOCK] = { 0 };
    float row[BLOCK];
    for (int i = sb_gridpool_begin(y, s->grid, s->side); i < sb_gridpool_end(y, s->grid, s->side); i++)
        for (int j = sb_gridpool_begin(x, s->grid, s->side); j < sb_gridpool_end(x, s->grid, s->side); j++) {
            const int places = sb_gridpool_length(i, s->side, s->grid) *
                               sb_gridpool_length(j, s->side, s->grid);
            const float *dy = (const float *)call->dy +
                              (((size_t)n * grid + (size_t)i) * grid + (size_t)j) * c;
            for (int channel = 0; channel < count; channel++)
                sum[channel] += (double)dy[k + channel] / places;
        }
    for (int channel = 0; channel < count; channel++)
        row[channel] = (float)sum[channel];
    sb_cpu_give_row(call->dx[0], call->xs[0].type, sb_gridpool_row(s, n, y, x) * c + (size_t)k, count, row,
                    call->add[0]);
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_gridpool s = sb_gridpool_of(call->how, &call->xs[0]);
    const size_t c = (size_t)s.channels, rows = sb_shape_rows(&call->xs[0]) / (size_t)s.images;
#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < s.images; n++)
        for (int y = 0; y < s.side; y++)
            for (int x = 0; x < s.side; x++)
                for (int k = 0; k < s.channels; k += BLOCK)
                    spread(call, &s, n, y, x, k, s.channels - k < BLOCK ? s.channels - k : BLOCK);
    for (size_t n = 0; n < (size_t)s.images && !call->add[0]; n++)
        for (size_t i = 0; i < (size_t)s.first * c; i++)
            sb_cpu_store(call->dx[0], call->xs[0].type, n * rows * c + i, 0);
    return 0;
}

const sb_kernel sb_cpu_gridpool = { .forward = forward, .backward = backward };
