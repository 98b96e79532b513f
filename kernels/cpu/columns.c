/* columns.c: see columns.h. */
#include "kernels/cpu/columns.h"

#include <string.h>

#define FEW 64 /* channels that are added up at once */

void sb_cpu_columns_fold(const float *sums, size_t step, int blocks, int c, float *dw)
{
#pragma omp parallel for schedule(static)
    for (int first = 0; first < c; first += FEW) {
        const int count = c - first < FEW ? c - first : FEW;
        double sum[FEW] = { 0 };
        for (int b = 0; b < blocks; b++) {
            const float *more = sums + (size_t)b * step + first;
#pragma omp simd
            for (int i = 0; i < count; i++)
                sum[i] += (double)more[i];
        }
        for (int i = 0; i < count; i++)
            dw[first + i] += (float)sum[i];
    }
}

size_t sb_cpu_pieces_scratch(const sb_call *call)
{
    return (size_t)sb_cpu_columns_blocks(sb_shape_rows(&call->ys)) * (size_t)call->ys.c * sizeof(float);
}

void sb_cpu_pieces(const sb_call *call, sb_cpu_piece *piece, float *dw)
{
    const size_t rows = sb_shape_rows(&call->ys);
    const int c = call->ys.c, blocks = sb_cpu_columns_blocks(rows);
#pragma omp parallel for schedule(static)
    for (int b = 0; b < blocks; b++) {
        float *sums = dw ? (float *)call->scratch + (size_t)b * (size_t)c : NULL;
        if (sums)
            memset(sums, 0, (size_t)c * sizeof *sums);
        for (size_t r = (size_t)b * SB_CPU_COLUMNS_ROWS; r < sb_cpu_columns_end(rows, b); r++)
            for (int first = 0; first < c; first += SB_CPU_PIECE)
                piece(call, r * (size_t)c + (size_t)first, first,
                      c - first < SB_CPU_PIECE ? c - first : SB_CPU_PIECE, sums);
    }
    if (dw)
        sb_cpu_columns_fold(call->scratch, (size_t)c, blocks, c, dw);
}
