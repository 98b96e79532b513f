/* layernorm.c: layer normalisation on the CPU, one pass over memory each way: a row stays in the first cache
 * while its sums are taken and it is normalised. Sums along a row have LANES parts, whatever the processor.
 */
#include "kernels/op/layernorm.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/columns.h"
#include "kernels/cpu/cpu.h"

#define LANES 8

/* Floats of a row in scratch. */
static size_t padded(const sb_call *call) { return ((size_t)call->ys.c + LANES - 1) / LANES * LANES; }

/* Of a block: sums of dy xhat and of dy, and rows to work in. */
enum { PRODUCTS, SUMS, ROW, GRADIENT, ROWS };

static size_t scratch(sb_device *device, const sb_call *call)
{
    (void)device;
    const size_t blocks = (size_t)sb_cpu_columns_blocks(sb_shape_rows(&call->ys));
    return blocks * ROWS * padded(call) * sizeof(float);
}

static float *row_of(const sb_call *call, int block, int which)
{
    return (float *)call->scratch + ((size_t)block * ROWS + (size_t)which) * padded(call);
}

/* The sum of parts, which are not whole any more. */
static float add_lanes(float part[LANES])
{
    for (int distance = LANES / 2; distance > 0; distance /= 2)
        for (int i = 0; i < distance; i++)
            part[i] += part[i + distance];
    return part[0];
}

static float sum_of(const float *row, int c)
{
    float part[LANES] = { 0 };
    int at = 0;
    for (; at + LANES <= c; at += LANES)
#pragma omp simd
        for (int i = 0; i < LANES; i++)
            part[i] += row[at + i];
    for (int i = 0; at + i < c; i++)
        part[i] += row[at + i];
    return add_lanes(part);
}

/* Of squared distances from the mean. */
static float squares_of(const float *row, float mean, int c)
{
    float part[LANES] = { 0 };
    int at = 0;
    for (; at + LANES <= c; at += LANES)
#pragma omp simd
        for (int i = 0; i < LANES; i++)
            part[i] += (row[at + i] - mean) * (row[at + i] - mean);
    for (int i = 0; at + i < c; i++)
        part[i] += (row[at + i] - mean) * (row[at + i] - mean);
    return add_lanes(part);
}

static float product_of(const float *a, const float *b, int c)
{
    float part[LANES] = { 0 };
    int at = 0;
    for (; at + LANES <= c; at += LANES)
#pragma omp simd
        for (int i = 0; i < LANES; i++)
            part[i] += a[at + i] * b[at + i];
    for (int i = 0; at + i < c; i++)
        part[i] += a[at + i] * b[at + i];
    return add_lanes(part);
}

static void forward_row(const sb_call *call, size_t r, float *row)
{
    const sb_type type = call->ys.type;
    const int c = call->ys.c;
    const size_t at = r * (size_t)c;
    const float *gamma = call->w[0], *beta = call->w[1], *x = sb_cpu_row(call->x[0], type, at, c, row);
    float *y = sb_cpu_row_to(call->y, type, at, false, row), *statistics = call->aux;
    const float mean = sum_of(x, c) / (float)c, variance = squares_of(x, mean, c) / (float)c,
                inverse = 1.0f / sqrtf(variance + ((const sb_layernorm_how *)call->how)->epsilon);
    if (statistics) {
        statistics[2 * r] = mean;
        statistics[2 * r + 1] = inverse;
    }
#pragma omp simd
    for (int i = 0; i < c; i++)
        y[i] = (x[i] - mean) * inverse * (gamma ? gamma[i] : 1.0f) + (beta ? beta[i] : 0.0f);
    if (y == row)
        sb_cpu_store_row(call->y, type, at, c, row);
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const size_t rows = sb_shape_rows(&call->ys);
    const int blocks = sb_cpu_columns_blocks(rows);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        float *row = row_of(call, b, ROW);
        for (size_t r = (size_t)b * SB_CPU_COLUMNS_ROWS; r < sb_cpu_columns_end(rows, b); r++)
            forward_row(call, r, row);
    }
    return 0;
}

/* dx = inverse (g - mean(g) - xhat mean(g xhat)), with g = gamma dy and means over the row. */
static void backward_row(const sb_call *call, size_t r, int block)
{
    const sb_type type = call->ys.type;
    const int c = call->ys.c;
    const size_t at = r * (size_t)c;
    float *normal = row_of(call, block, ROW), *g = row_of(call, block, GRADIENT),
          *products = row_of(call, block, PRODUCTS), *sums = row_of(call, block, SUMS);
    const float *gamma = call->w[0], *statistics = call->aux,
                *x = sb_cpu_row(call->x[0], type, at, c, normal), *dy = sb_cpu_row(call->dy, type, at, c, g);
    const float mean = statistics[2 * r], inverse = statistics[2 * r + 1];
#pragma omp simd
    for (int i = 0; i < c; i++) {
        const float incoming = dy[i];
        normal[i] = (x[i] - mean) * inverse;
        products[i] += incoming * normal[i];
        sums[i] += incoming;
        g[i] = incoming * (gamma ? gamma[i] : 1.0f);
    }
    if (!call->dx[0])
        return;
    const float all = sum_of(g, c) / (float)c, along = product_of(g, normal, c) / (float)c;
    float *dx = sb_cpu_row_to(call->dx[0], type, at, call->add[0], g);
#pragma omp simd
    for (int i = 0; i < c; i++)
        dx[i] = inverse * (g[i] - all - normal[i] * along);
    if (dx == g)
        sb_cpu_give_row(call->dx[0], type, at, c, g, call->add[0]);
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const size_t rows = sb_shape_rows(&call->ys), step = ROWS * padded(call);
    const int blocks = sb_cpu_columns_blocks(rows);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        memset(row_of(call, b, PRODUCTS), 0, 2 * padded(call) * sizeof(float)); /* and SUMS */
        for (size_t r = (size_t)b * SB_CPU_COLUMNS_ROWS; r < sb_cpu_columns_end(rows, b); r++)
            backward_row(call, r, b);
    }
    if (call->dw[0])
        sb_cpu_columns_fold(row_of(call, 0, PRODUCTS), step, blocks, call->ys.c, call->dw[0]);
    if (call->dw[1])
        sb_cpu_columns_fold(row_of(call, 0, SUMS), step, blocks, call->ys.c, call->dw[1]);
    return 0;
}

const sb_kernel sb_cpu_layernorm = { .scratch = scratch, .forward = forward, .backward = backward };
