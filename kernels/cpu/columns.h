/* columns.h: passes over the rows [rows, c] of a call, and sums over rows, channel by channel, for gradients
 * of weights [c]. Rows go by blocks; each block adds its own up in f32, and the blocks' sums are added in
 * order in f64. Private to kernels/cpu. */
#ifndef SB_KERNELS_CPU_COLUMNS_H
#define SB_KERNELS_CPU_COLUMNS_H

#include "kernels/op.h"

#define SB_CPU_COLUMNS_ROWS 64 /* of a block */
#define SB_CPU_PIECE 1024      /* channels of a row that are worked on at once */

static inline int sb_cpu_columns_blocks(size_t rows)
{
    return (int)((rows + SB_CPU_COLUMNS_ROWS - 1) / SB_CPU_COLUMNS_ROWS);
}

/* One behind a block's last row. */
static inline size_t sb_cpu_columns_end(size_t rows, int block)
{
    const size_t end = ((size_t)block + 1) * SB_CPU_COLUMNS_ROWS;
    return end < rows ? end : rows;
}

/* Adds to dw [c] the sums [blocks, c], of which a block's begin `step` floats behind those of the one before.
 */
void sb_cpu_columns_fold(const float *sums, size_t step, int blocks, int c, float *dw);

/* Works on `count` channels of a row, at most SB_CPU_PIECE, of which the first is channel `first` and lies at
 * element `at`. Adds to sums[first ..] where that is not NULL. */
typedef void sb_cpu_piece(const sb_call *call, size_t at, int first, int count, float *sums);

/* Gives `piece` all of ys. dw [c]: the sums over rows are added to it, by way of scratch; NULL: there are
 * none.
 */
void sb_cpu_pieces(const sb_call *call, sb_cpu_piece *piece, float *dw);

/* What it takes for sums. */
size_t sb_cpu_pieces_scratch(const sb_call *call);

#endif
