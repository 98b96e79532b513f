/* logsumexp_pairs.cu: log-sum-exp over pairs of rows on a GPU, tile by tile, never the whole matrix.
 *
 * A block has TILE rows and walks the columns in tiles. Logits of a tile lie in shared memory; the running
 * maximum keeps every exponent at or below zero. The matrix is symmetric, so one pass over rows gives both
 * terms of the gradient: P_ij uses lse_i, P_ji uses lse_j. */
#include "kernels/cuda/launch.h"
#include "kernels/op/logsumexp_pairs.h"

#define TILE WARP
#define LANES (THREADS / WARP)
#define EACH (TILE / LANES) /* rows of a tile that one warp has: lane + LANES i */

/* What both kernels know of z [rows, width]. */
typedef struct {
    sb_logsumexp_pairs_how how;
    int rows, width;
} pairs;

/* part[r][k] = z[row + r][first + k], 0 outside. One more column against bank conflicts. */
static __device__ inline void load_tile(const pairs *p, const float *z, int row, int first,
                                        float part[TILE][TILE + 1])
{
    int k = first + (int)threadIdx.x;
    for (int r = (int)threadIdx.y; r < TILE; r += LANES)
        part[r][threadIdx.x] = row + r < p->rows && k < p->width
                                   ? z[(size_t)(row + r) * (size_t)p->width + (size_t)k]
                                   : 0;
}

/* out[i] = <z_(row + threadIdx.y + LANES i), z_(column + threadIdx.x)> / temperature; left out or outside:
 * -INFINITY. Every thread of the block has to call it; the two tiles are free again afterwards. */
static __device__ inline void tile_logits(const pairs *p, const float *z, const sb_square *places, int row,
                                          int column, float a[TILE][TILE + 1], float b[TILE][TILE + 1],
                                          float out[EACH])
{
    int j = column + (int)threadIdx.x;
    for (int i = 0; i < EACH; i++)
        out[i] = 0;
    for (int first = 0; first < p->width; first += TILE) {
        load_tile(p, z, row, first, a);
        load_tile(p, z, column, first, b);
        __syncthreads();
        for (int k = 0; k < TILE; k++)
            for (int i = 0; i < EACH; i++)
                out[i] = fmaf(a[threadIdx.y + LANES * i][k], b[threadIdx.x][k], out[i]);
        __syncthreads();
    }
    for (int i = 0; i < EACH; i++) {
        int r = row + (int)threadIdx.y + LANES * i;
        out[i] = r >= p->rows || j >= p->rows || sb_pair_left_out(&p->how, places, r, j)
                     ? -INFINITY
                     : out[i] * (1.0f / p->how.temperature);
    }
}

static __device__ inline float warp_max(float value)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, distance));
    return value;
}

static __global__ void logsumexp_pairs_forward(pairs p, const float *z, const sb_square *places, float *lse,
                                               float *y)
{
    __shared__ float a[TILE][TILE + 1], b[TILE][TILE + 1];
    int row = (int)blockIdx.x * TILE;
    float logit[EACH], most[EACH];
    double sum[EACH]; /* the same in every lane of the warp that has the row */
    for (int i = 0; i < EACH; i++) {
        most[i] = -INFINITY;
        sum[i] = 0;
    }
    for (int column = 0; column < p.rows; column += TILE) {
        tile_logits(&p, z, places, row, column, a, b, logit);
        for (int i = 0; i < EACH; i++) {
            float now = fmaxf(most[i], warp_max(logit[i])), base = now == -INFINITY ? 0 : now;
            sum[i] = sum[i] * (double)expf(most[i] - base) + warp_sum((double)expf(logit[i] - base));
            most[i] = now;
        }
    }
    for (int i = 0; i < EACH; i++) {
        int r = row + (int)threadIdx.y + LANES * i;
        if (threadIdx.x != 0 || r >= p.rows)
            continue;
        bool none = most[i] == -INFINITY && !isnan(sum[i]);
        lse[r] = none ? -INFINITY : (float)(most[i] + log(sum[i]));
        y[r] = none ? p.how.empty : lse[r];
    }
}

/* dy P. It is 0 where the column is left out and where nothing was summed, whatever dy is. */
static __device__ inline float share(float logit, float lse, float dy)
{
    return logit == -INFINITY || lse == -INFINITY ? 0 : dy * expf(logit - lse);
}

static __global__ void logsumexp_pairs_backward(pairs p, const float *z, const sb_square *places,
                                                const float *lse, const float *dy, float *dz, bool add)
{
    __shared__ float a[TILE][TILE + 1], b[TILE][TILE + 1], w[TILE][TILE + 1];
    int row = (int)blockIdx.x * TILE;
    float logit[EACH], scale = 1.0f / p.how.temperature;
    for (int column = 0; column < p.rows; column += TILE) {
        int j = column + (int)threadIdx.x;
        tile_logits(&p, z, places, row, column, a, b, logit);
        for (int i = 0; i < EACH; i++) {
            int mine = (int)threadIdx.y + LANES * i, r = row + mine;
            bool inside = r < p.rows && j < p.rows;
            w[mine][threadIdx.x] = inside ? scale * (share(logit[i], lse[r], dy[r]) +
                                                     share(logit[i], lse[j], dy[j]))
                                          : 0;
        }
        for (int first = 0; first < p.width; first += TILE) {
            load_tile(&p, z, column, first, b);
            __syncthreads(); /* also for w */
            int k = first + (int)threadIdx.x;
            for (int i = 0; i < EACH; i++) {
                int mine = (int)threadIdx.y + LANES * i;
                float sum = 0;
                for (int c = 0; c < TILE; c++)
                    sum = fmaf(w[mine][c], b[c][threadIdx.x], sum);
                if (row + mine < p.rows && k < p.width)
                    give(dz, SB_F32, (size_t)(row + mine) * (size_t)p.width + (size_t)k, sum,
                         add || column > 0);
            }
            __syncthreads();
        }
    }
}

static pairs pairs_of(const sb_call *c)
{
    return { *(const sb_logsumexp_pairs_how *)c->how, (int)sb_shape_rows(&c->xs[0]), c->xs[0].c };
}

static int forward(sb_device *device, const sb_call *c)
{
    pairs p = pairs_of(c);
    LAUNCH(logsumexp_pairs_forward, (p.rows + TILE - 1) / TILE, dim3(WARP, LANES), 0, sb_cuda_compute(device),
           p, (const float *)c->x[0], (const sb_square *)c->x[1], (float *)c->aux, (float *)c->y);
    return sb_cuda_launched("logsumexp_pairs_forward");
}

static int backward(sb_device *device, const sb_call *c)
{
    pairs p = pairs_of(c);
    LAUNCH(logsumexp_pairs_backward, (p.rows + TILE - 1) / TILE, dim3(WARP, LANES), 0,
           sb_cuda_compute(device), p, (const float *)c->x[0], (const sb_square *)c->x[1],
           (const float *)c->aux, (const float *)c->dy, (float *)c->dx[0], c->add[0]);
    return sb_cuda_launched("logsumexp_pairs_backward");
}

extern "C" const sb_kernel sb_cuda_logsumexp_pairs = { .forward = forward, .backward = backward };
