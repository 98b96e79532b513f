/* tiles.h: passes over rows [rows, channels] on a GPU, and sums over rows, channel by channel, for gradients
 * of weights. A block of WARP x LANES threads has WARP channels and a run of rows: thread (x, y) channel x,
 * and the rows y, y + LANES, ... of the run. A block adds its lanes up, and
 * then the blocks are added, in order and in f64. Private to kernels/cuda. */
#ifndef SB_KERNELS_CUDA_TILES_H
#define SB_KERNELS_CUDA_TILES_H

#include "kernels/cuda/columns.h"

/* At most about so many runs of rows, whatever the shape, so that adding their sums up stays short. */
#define TILE_RUNS_MOST 256
#define TILE_ROWS_LEAST 64

static __host__ __device__ inline size_t tile_rows(size_t rows)
{
    size_t run = (rows + TILE_RUNS_MOST - 1) / TILE_RUNS_MOST;
    return run > TILE_ROWS_LEAST ? run : TILE_ROWS_LEAST;
}

static __host__ __device__ inline size_t tile_runs(size_t rows)
{
    return (rows + tile_rows(rows) - 1) / tile_rows(rows);
}

static inline dim3 tiles_over(const sb_shape *s) { return column_blocks(tile_runs(sb_shape_rows(s)), s->c); }

/* One sum: of every run and channel. */
static inline size_t tile_sums_bytes(const sb_shape *s)
{
    return tile_runs(sb_shape_rows(s)) * (size_t)s->c * sizeof(double);
}

/* A thread's part: rows begin, begin + LANES, ... < end. One without a channel has no rows. */
typedef struct {
    int channel;
    size_t begin, end;
} tile_part;

static __device__ inline tile_part my_part(size_t rows, int channels)
{
    tile_part p;
    p.channel = (int)(blockIdx.y * WARP + threadIdx.x);
    p.begin = blockIdx.x * tile_rows(rows);
    p.end = rows - p.begin < tile_rows(rows) ? rows : p.begin + tile_rows(rows);
    p.begin += threadIdx.y;
    if (p.channel >= channels)
        p.end = p.begin;
    return p;
}

/* Adds a channel's sum up over the lanes, in order, and writes it to sums [runs, channels]. All threads of
 * the block take part. */
static __device__ inline void write_tile_sum(const tile_part *p, int channels, double value, double *sums)
{
    __shared__ double parts[LANES][WARP];
    parts[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.y == 0 && p->channel < channels) {
        for (int lane = 1; lane < LANES; lane++)
            value += parts[lane][threadIdx.x];
        sums[(size_t)blockIdx.x * (size_t)channels + (size_t)p->channel] = value;
    }
    __syncthreads();
}

static __global__ void fold_tiles(size_t runs, int channels, const double *sums, float *dw)
{
    int c = (int)global_thread();
    if (c >= channels)
        return;
    double sum = 0;
    for (size_t run = 0; run < runs; run++)
        sum += sums[run * (size_t)channels + (size_t)c];
    dw[c] += (float)sum;
}

/* Adds the sums to dw [channels]; NULL: it does nothing. */
static inline void add_tiles(sb_device *device, const sb_shape *s, const double *sums, float *dw)
{
    if (!dw)
        return;
    LAUNCH(fold_tiles, blocks_for((size_t)s->c), THREADS, 0, sb_cuda_compute(device),
           tile_runs(sb_shape_rows(s)), s->c, sums, dw);
}

#endif
