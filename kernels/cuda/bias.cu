/* bias.cu: see bias.h. The gradient is summed in two steps: blocks of rows, then the blocks in their order.
 */
#include "kernels/cuda/bias.h"

#include "kernels/cuda/tiles.h"

static __global__ void bias_add(size_t count, int columns, sb_type type, const float *bias, void *y)
{
    size_t i = global_thread();
    if (i < count)
        store(y, type, i, load(y, type, i) + bias[i % (size_t)columns]);
}

static __global__ void bias_sums(size_t rows, int columns, sb_type type, const void *dy, double *sums)
{
    tile_part p = my_part(rows, columns);
    double sum = 0;
    for (size_t r = p.begin; r < p.end; r += LANES)
        sum += load(dy, type, r * (size_t)columns + (size_t)p.channel);
    write_tile_sum(&p, columns, sum, sums);
}

int sb_cuda_bias_add(sb_device *device, const sb_shape *y, const float *bias, void *values)
{
    const size_t count = sb_shape_elements(y);
    LAUNCH(bias_add, blocks_for(count), THREADS, 0, sb_cuda_compute(device), count, y->c, y->type, bias,
           values);
    return sb_cuda_launched("bias_add");
}

size_t sb_cuda_bias_scratch(const sb_shape *y) { return tile_sums_bytes(y); }

int sb_cuda_bias_back(sb_device *device, const sb_shape *y, const void *dy, float *dbias, void *scratch)
{
    double *sums = (double *)scratch;
    LAUNCH(bias_sums, tiles_over(y), dim3(WARP, LANES), 0, sb_cuda_compute(device), sb_shape_rows(y), y->c,
           y->type, dy, sums);
    add_tiles(device, y, sums, dbias);
    return sb_cuda_launched("bias_sums");
}
