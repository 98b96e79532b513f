/* unit_columns.c: columns of unit length on the CPU. A thread has TILE columns and adds their rows in order,
 * x's first, in f64, so no result depends on the number of threads. */
#include "kernels/op/unit_columns.h"

#include <math.h>

#include "kernels/cpu/cpu.h"

#define TILE 64

/* Row r of the stack. */
static const float *row_of(const sb_unit_columns *s, const sb_call *call, size_t r)
{
    size_t n = (size_t)s->samples, columns = (size_t)s->columns;
    return r < n ? (const float *)call->x[0] + r * columns : (const float *)call->x[1] + (r - n) * columns;
}

static void tile_forward(const sb_unit_columns *s, const sb_call *call, size_t rows, size_t first,
                         size_t count)
{
    size_t columns = (size_t)s->columns, all = (size_t)call->ys.n;
    double mean[TILE] = { 0 }, length[TILE] = { 0 };
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < count; c++)
            mean[c] += row_of(s, call, r)[first + c];
    for (size_t c = 0; c < count; c++)
        mean[c] /= (double)rows;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < count; c++) {
            double off = row_of(s, call, r)[first + c] - mean[c];
            length[c] += off * off;
        }
    for (size_t c = 0; c < count; c++) {
        length[c] = sqrt(length[c] + (double)rows * s->epsilon);
        ((float *)call->aux)[first + c] = (float)length[c];
    }
    for (size_t r = 0; r < all; r++)
        for (size_t c = 0; c < count; c++) {
            double off = r < rows ? row_of(s, call, r)[first + c] - mean[c] : 0;
            ((float *)call->y)[r * columns + first + c] = length[c] == 0 ? 0 : (float)(off / length[c]);
        }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_unit_columns s = sb_unit_columns_of(call);
    size_t rows = (size_t)sb_unit_columns_rows(&s, call->x[2]), columns = (size_t)s.columns;
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < columns; first += TILE)
        tile_forward(&s, call, rows, first, columns - first < TILE ? columns - first : TILE);
    return 0;
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    sb_unit_columns s = sb_unit_columns_of(call);
    size_t rows = (size_t)sb_unit_columns_rows(&s, call->x[2]), columns = (size_t)s.columns;
    const float *y = call->y, *dy = call->dy, *length = call->aux;
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < columns; first += TILE) {
        size_t count = columns - first < TILE ? columns - first : TILE;
        double mean[TILE] = { 0 }, along[TILE] = { 0 };
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < count; c++) {
                size_t i = r * columns + first + c;
                mean[c] += dy[i];
                along[c] += (double)y[i] * dy[i];
            }
        for (size_t c = 0; c < count; c++)
            mean[c] /= (double)rows;
        for (size_t r = 0; r < (size_t)s.samples; r++)
            for (size_t c = 0; c < count; c++) {
                size_t i = r * columns + first + c;
                double inward = dy[i] - mean[c] - y[i] * along[c];
                sb_cpu_give(call->dx[0], i, length[first + c] == 0 ? 0 : (float)(inward / length[first + c]),
                            call->add[0]);
            }
    }
    return 0;
}

const sb_kernel sb_cpu_unit_columns = { .forward = forward, .backward = backward };
