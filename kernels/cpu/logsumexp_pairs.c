/* logsumexp_pairs.c: log-sum-exp over pairs of rows on the CPU, tile by tile, never the whole matrix.
 *
 * A thread takes TILE rows at a time and walks the columns in tiles; the running maximum keeps every exponent
 * at or below zero. The matrix is symmetric, so one pass over rows gives both terms of the gradient: P_ij
 * uses lse_i, P_ji uses lse_j. */
#include "kernels/op/logsumexp_pairs.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

#define TILE 32

/* logits[r][c] = <z_(row + r), z_(column + c)> / temperature; left out: -INFINITY. */
static void tile_logits(const sb_call *call, int row, int rows, int column, int columns,
                        float logits[TILE][TILE])
{
    const sb_logsumexp_pairs_how *how = call->how;
    const float *z = call->x[0];
    float scale = 1.0f / how->temperature;
    size_t width = (size_t)call->xs[0].c;
    for (int r = 0; r < rows; r++) {
        const float *a = z + (size_t)(row + r) * width;
        for (int c = 0; c < columns; c++) {
            const float *b = z + (size_t)(column + c) * width;
            float lanes[16] = { 0 }; /* a fixed order that vectorises */
            size_t k = 0;
            for (; k + 16 <= width; k += 16)
#pragma omp simd
                for (int l = 0; l < 16; l++)
                    lanes[l] += a[k + (size_t)l] * b[k + (size_t)l];
            float sum = 0;
            for (int l = 0; l < 16; l++)
                sum += lanes[l];
            for (; k < width; k++)
                sum += a[k] * b[k];
            logits[r][c] = sb_pair_left_out(how, call->x[1], row + r, column + c) ? -INFINITY : sum * scale;
        }
    }
}

static int forward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_logsumexp_pairs_how *how = call->how;
    int m = (int)sb_shape_rows(&call->xs[0]);
    float *lse = call->aux, *y = call->y;
#pragma omp parallel for schedule(static)
    for (int row = 0; row < m; row += TILE) {
        int rows = m - row < TILE ? m - row : TILE;
        float logits[TILE][TILE], most[TILE];
        double sum[TILE];
        for (int r = 0; r < rows; r++) {
            most[r] = -INFINITY;
            sum[r] = 0;
        }
        for (int column = 0; column < m; column += TILE) {
            int columns = m - column < TILE ? m - column : TILE;
            tile_logits(call, row, rows, column, columns, logits);
            for (int r = 0; r < rows; r++) {
                float now = most[r];
                for (int c = 0; c < columns; c++)
                    now = logits[r][c] > now ? logits[r][c] : now;
                if (now == -INFINITY)
                    continue;
                sum[r] *= exp((double)most[r] - now);
                most[r] = now;
                for (int c = 0; c < columns; c++)
                    sum[r] += exp((double)logits[r][c] - now);
            }
        }
        for (int r = 0; r < rows; r++) {
            lse[row + r] = sum[r] > 0 ? (float)(most[r] + log(sum[r])) : -INFINITY;
            y[row + r] = sum[r] > 0 ? lse[row + r] : how->empty;
        }
    }
    return 0;
}

/* dy P. It is 0 where the column is left out and where nothing was summed, whatever dy is. */
static float share(float logit, float lse, float dy)
{
    return logit == -INFINITY || lse == -INFINITY ? 0 : dy * expf(logit - lse);
}

static int backward(sb_device *device, const sb_call *call)
{
    (void)device;
    const sb_logsumexp_pairs_how *how = call->how;
    int m = (int)sb_shape_rows(&call->xs[0]);
    size_t width = (size_t)call->xs[0].c;
    const float *z = call->x[0], *lse = call->aux, *dy = call->dy;
    float *dz = call->dx[0], scale = 1.0f / how->temperature;
#pragma omp parallel for schedule(static)
    for (int row = 0; row < m; row += TILE) {
        int rows = m - row < TILE ? m - row : TILE;
        float logits[TILE][TILE];
        if (!call->add[0])
            memset(dz + (size_t)row * width, 0, (size_t)rows * width * sizeof *dz);
        for (int column = 0; column < m; column += TILE) {
            int columns = m - column < TILE ? m - column : TILE;
            tile_logits(call, row, rows, column, columns, logits);
            for (int r = 0; r < rows; r++) {
                float *out = dz + (size_t)(row + r) * width;
                for (int c = 0; c < columns; c++) {
                    float logit = logits[r][c];
                    float w = scale * (share(logit, lse[row + r], dy[row + r]) +
                                       share(logit, lse[column + c], dy[column + c]));
                    const float *b = z + (size_t)(column + c) * width;
#pragma omp simd
                    for (size_t k = 0; k < width; k++)
                        out[k] += w * b[k];
                }
            }
        }
    }
    return 0;
}

const sb_kernel sb_cpu_logsumexp_pairs = { .forward = forward, .backward = backward };
