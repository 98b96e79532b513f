/* bias.cu: see bias.h. The gradient is summed in two steps: blocks of rows, then the blocks in their order.
 */
#include "kernels/cuda/bias.h"

#include "kernels/cuda/columns.h"

/* Blocks of rows, at most: so adding them up stays short. */
#define MOST_BLOCKS 256
#define LEAST_ROWS 256

static __global__ void bias_add(size_t count, int columns, sb_type type, const float *bias, void *y)
{
    size_t i = global_thread();
    if (i < count)
        store(y, type, i, load(y, type, i) + bias[i % (size_t)columns]);
}

static size_t rows_of_block(size_t rows)
{
    size_t each = (rows + MOST_BLOCKS - 1) / MOST_BLOCKS;
    return each > LEAST_ROWS ? each : LEAST_ROWS;
}

static size_t row_blocks(size_t rows) { return (rows + rows_of_block(rows) - 1) / rows_of_block(rows); }

/* A block has a run of rows: partial [row blocks, columns]. */
static __global__ void sum_rows(size_t rows, size_t each, int columns, sb_type type, const void *dy,
                                double *partial)
{
    __shared__ double parts[LANES][WARP];
    const int column = (int)(blockIdx.y * WARP + threadIdx.x);
    const size_t begin = blockIdx.x * each, end = begin + each < rows ? begin + each : rows;
    double sum = 0;
    for (size_t r = begin + threadIdx.y; r < end && column < columns; r += LANES)
        sum += load(dy, type, r * (size_t)columns + (size_t)column);
    sum = column_sum(sum, parts);
    if (threadIdx.y == 0 && column < columns)
        partial[(size_t)blockIdx.x * (size_t)columns + (size_t)column] = sum;
}

static __global__ void sum_blocks(int blocks, int columns, const double *partial, float *dbias)
{
    size_t column = global_thread();
    if (column >= (size_t)columns)
        return;
    double sum = 0;
    for (int b = 0; b < blocks; b++)
        sum += partial[(size_t)b * (size_t)columns + column];
    dbias[column] += (float)sum;
}

int sb_cuda_bias_add(sb_device *device, const sb_shape *y, const float *bias, void *values)
{
    const size_t count = sb_shape_elements(y);
    LAUNCH(bias_add, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, y->c, y->type, bias,
           values);
    return sb_cuda_launched("bias_add");
}

size_t sb_cuda_bias_scratch(const sb_shape *y)
{
    return row_blocks(sb_shape_rows(y)) * (size_t)y->c * sizeof(double);
}

int sb_cuda_bias_back(sb_device *device, const sb_shape *y, const void *dy, float *dbias, void *scratch)
{
    const size_t rows = sb_shape_rows(y), blocks = row_blocks(rows);
    double *partial = (double *)scratch;
    LAUNCH(sum_rows, column_blocks(blocks, y->c), dim3(WARP, LANES), 0, sb_cuda_compute(device), rows,
           rows_of_block(rows), y->c, y->type, dy, partial);
    if (sb_cuda_launched("sum_rows") != 0)
        return -1;
    LAUNCH(sum_blocks, blocks_for((size_t)y->c), THREADS, 0, sb_cuda_compute(device), (int)blocks, y->c,
           partial, dbias);
    return sb_cuda_launched("sum_blocks");
}
