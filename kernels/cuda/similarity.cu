/* similarity.cu: log-sum-exp over masked similarities and its gradient, tile by tile, never the whole matrix.
 *
 * A block has TILE rows and walks the columns in tiles. Logits of a tile lie in shared memory; the running maximum keeps every exponent at or
 * below zero. The matrix is symmetric, so one pass over rows gives both terms of the gradient: P_ij uses lse_i, P_ji uses lse_j. */
#include "kernels/cuda/launch.h"

#define TILE WARP
#define LANES (THREADS / WARP)
#define EACH (TILE / LANES) /* rows of a tile that one warp has: lane + LANES i */

/* part[r][k] = z[row + r][first + k], 0 outside. One more column against bank conflicts. */
static __device__ inline void load_tile(const sb_similarity_shape *s, const float *z, int row, int first, float part[TILE][TILE + 1])
{
    int m = s->samples * s->views, k = first + (int)threadIdx.x;
    for (int r = (int)threadIdx.y; r < TILE; r += LANES)
        part[r][threadIdx.x] = row + r < m && k < s->width ? z[(size_t)(row + r) * (size_t)s->width + (size_t)k] : 0;
}

/* out[i] = <z_(row + threadIdx.y + LANES i), z_(column + threadIdx.x)> / temperature; left out or outside: -INFINITY.
 * Every thread of the block comes; the two tiles are free again afterwards. */
static __device__ inline void tile_logits(const sb_similarity_shape *s, const float *z, const uint8_t *skip, int row, int column,
                                          float a[TILE][TILE + 1], float b[TILE][TILE + 1], float out[EACH])
{
    int m = s->samples * s->views, j = column + (int)threadIdx.x;
    for (int i = 0; i < EACH; i++)
        out[i] = 0;
    for (int first = 0; first < s->width; first += TILE) {
        load_tile(s, z, row, first, a);
        load_tile(s, z, column, first, b);
        __syncthreads();
        for (int k = 0; k < TILE; k++)
            for (int i = 0; i < EACH; i++)
                out[i] = fmaf(a[threadIdx.y + LANES * i][k], b[threadIdx.x][k], out[i]);
        __syncthreads();
    }
    for (int i = 0; i < EACH; i++) {
        int r = row + (int)threadIdx.y + LANES * i;
        out[i] = r >= m || j >= m || sb_similarity_left_out(s, skip, r, j) ? -INFINITY : out[i] * (1.0f / s->temperature);
    }
}

static __device__ inline float warp_max(float value)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, distance));
    return value;
}

static __global__ void lse_of(sb_similarity_shape s, const float *z, const uint8_t *skip, float *lse)
{
    __shared__ float a[TILE][TILE + 1], b[TILE][TILE + 1];
    int m = s.samples * s.views, row = (int)blockIdx.x * TILE;
    float logit[EACH], most[EACH];
    double sum[EACH]; /* the same in every lane of the warp that has the row */
    for (int i = 0; i < EACH; i++) {
        most[i] = -INFINITY;
        sum[i] = 0;
    }
    for (int column = 0; column < m; column += TILE) {
        tile_logits(&s, z, skip, row, column, a, b, logit);
        for (int i = 0; i < EACH; i++) {
            float now = fmaxf(most[i], warp_max(logit[i]));
            if (now == -INFINITY)
                continue; /* the whole warp */
            sum[i] = sum[i] * (double)expf(most[i] - now) + warp_sum((double)expf(logit[i] - now));
            most[i] = now;
        }
    }
    for (int i = 0; i < EACH; i++) {
        int r = row + (int)threadIdx.y + LANES * i;
        if (threadIdx.x == 0 && r < m)
            lse[r] = sum[i] > 0 ? (float)(most[i] + log(sum[i])) : -INFINITY;
    }
}

/* exp(logit - lse): 0 where left out or where nothing was summed. */
static __device__ inline float weight(float logit, float lse)
{
    return logit == -INFINITY || lse == -INFINITY ? 0.0f : expf(logit - lse);
}

static __global__ void gradient(sb_similarity_shape s, const float *z, const uint8_t *skip, const float *lse, float factor, float *dz)
{
    __shared__ float a[TILE][TILE + 1], b[TILE][TILE + 1], w[TILE][TILE + 1];
    int m = s.samples * s.views, row = (int)blockIdx.x * TILE;
    float logit[EACH];
    for (int column = 0; column < m; column += TILE) {
        int j = column + (int)threadIdx.x;
        tile_logits(&s, z, skip, row, column, a, b, logit);
        for (int i = 0; i < EACH; i++) {
            int mine = (int)threadIdx.y + LANES * i, r = row + mine;
            bool inside = r < m && j < m;
            w[mine][threadIdx.x] = inside ? factor * (weight(logit[i], lse[r]) + weight(logit[i], lse[j])) : 0;
        }
        for (int first = 0; first < s.width; first += TILE) {
            load_tile(&s, z, column, first, b);
            __syncthreads(); /* also for w */
            int k = first + (int)threadIdx.x;
            for (int i = 0; i < EACH; i++) {
                int mine = (int)threadIdx.y + LANES * i;
                float sum = 0;
                for (int c = 0; c < TILE; c++)
                    sum = fmaf(w[mine][c], b[c][threadIdx.x], sum);
                if (row + mine < m && k < s.width)
                    dz[(size_t)(row + mine) * (size_t)s.width + (size_t)k] += sum;
            }
            __syncthreads();
        }
    }
}

/* ---- host ------------------------------------------------------------------------------------------------------------------------------- */

static unsigned row_tiles(const sb_similarity_shape *s) { return (unsigned)((s->samples * s->views + TILE - 1) / TILE); }

int sb_cuda_similarity_lse(sb_device *device, const sb_similarity_shape *s, const float *z, const uint8_t *skip, float *lse)
{
    LAUNCH(lse_of, row_tiles(s), dim3(WARP, LANES), 0, sb_cuda_compute(device), *s, z, skip, lse);
    return sb_cuda_launched("similarity_lse");
}

int sb_cuda_similarity_gradient(sb_device *device, const sb_similarity_shape *s, const float *z, const uint8_t *skip,
                                const float *lse, float scale, float *dz)
{
    LAUNCH(gradient, row_tiles(s), dim3(WARP, LANES), 0, sb_cuda_compute(device), *s, z, skip, lse, scale / s->temperature, dz);
    return sb_cuda_launched("similarity_gradient");
}
