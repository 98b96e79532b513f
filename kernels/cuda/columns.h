/* columns.h: sums of columns on a GPU, for the operations that look at a group of rows column by column. A
 * block has WARP columns and LANES rows at a time: dim3(WARP, LANES) threads, thread (x, y) of column x and
 * of the rows y, y + LANES, ... Private to kernels/cuda. */
#ifndef SB_KERNELS_CUDA_COLUMNS_H
#define SB_KERNELS_CUDA_COLUMNS_H

#include "kernels/cuda/launch.h"

#define LANES 8

/* The sum of a column's LANES parts, in their order, in every thread of the column. `parts` is shared memory;
 * it may be used again at once. All threads of the block take part. */
static __device__ inline double column_sum(double value, double parts[LANES][WARP])
{
    parts[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += parts[lane][threadIdx.x];
    __syncthreads();
    return sum;
}

/* The grid of such blocks over `groups` times `columns`: x counts groups, y tiles of columns. */
static inline dim3 column_blocks(size_t groups, int columns)
{
    return dim3((unsigned)groups, (unsigned)(columns + WARP - 1) / WARP);
}

#endif
