/* similarity.c: log-sum-exp over masked similarities and its gradient, tile by tile, never the whole matrix.
 *
 * A thread takes TILE rows at a time and walks the columns in tiles; the running maximum keeps every exponent at or below zero. The matrix is
 * symmetric, so one pass over rows gives both terms of the gradient: P_ij uses lse_i, P_ji uses lse_j. */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/shapes.h"

#define TILE 32

/* logits[r][c] = <z_(row + r), z_(column + c)> / temperature; left out: -INFINITY. */
static void tile_logits(const sb_similarity_shape *s, const float *z, const uint8_t *skip, int row, int rows, int column, int columns,
                        float logits[TILE][TILE])
{
    float scale = 1.0f / s->temperature;
    size_t width = (size_t)s->width;
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
            logits[r][c] = sb_similarity_left_out(s, skip, row + r, column + c) ? -INFINITY : sum * scale;
        }
    }
}

int sb_cpu_similarity_lse(sb_device *device, const sb_similarity_shape *s, const float *z, const uint8_t *skip, float *lse)
{
    (void)device;
    int m = s->samples * s->views;
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
            tile_logits(s, z, skip, row, rows, column, columns, logits);
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
        for (int r = 0; r < rows; r++)
            lse[row + r] = sum[r] > 0 ? (float)(most[r] + log(sum[r])) : -INFINITY;
    }
    return 0;
}

/* exp(logit - lse): 0 where left out or where nothing was summed. */
static float weight(float logit, float lse)
{
    return logit == -INFINITY || lse == -INFINITY ? 0.0f : expf(logit - lse);
}

int sb_cpu_similarity_gradient(sb_device *device, const sb_similarity_shape *s, const float *z, const uint8_t *skip,
                               const float *lse, float scale, float *dz)
{
    (void)device;
    int m = s->samples * s->views;
    size_t width = (size_t)s->width;
    float factor = scale / s->temperature;
#pragma omp parallel for schedule(static)
    for (int row = 0; row < m; row += TILE) {
        int rows = m - row < TILE ? m - row : TILE;
        float logits[TILE][TILE];
        for (int column = 0; column < m; column += TILE) {
            int columns = m - column < TILE ? m - column : TILE;
            tile_logits(s, z, skip, row, rows, column, columns, logits);
            for (int r = 0; r < rows; r++) {
                float *out = dz + (size_t)(row + r) * width;
                for (int c = 0; c < columns; c++) {
                    float w = factor * (weight(logits[r][c], lse[row + r]) + weight(logits[r][c], lse[column + c]));
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
