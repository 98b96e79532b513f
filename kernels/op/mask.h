/* mask.h: a matrix with some of its values replaced, f32, rows = n h w: y_rc = x_rc, and `value` where column
 * c is left out of row r, through which no gradient goes back.
 *
 * x[0]: [rows, columns]. x[1], optional: places, i32 [rows, 4] (share/overlap.h), where row r and column r
 * are of sample r: a column is left out of the rows that its sample overlaps. With `diagonal` column r is
 * left out of row r, which places do not say. What takes a sum over pairs of samples masks them with what
 * adds nothing to it: 0, or -INFINITY in front of a softplus. */
#ifndef SB_KERNELS_OP_MASK_H
#define SB_KERNELS_OP_MASK_H

#include "kernels/op.h"
#include "kernels/share/overlap.h"

typedef struct {
    bool diagonal;
    float value; /* what stands where something is left out */
} sb_mask_how;

/* Whether value i, of rows of so many columns, is left out. places may be NULL. */
SB_SHARED bool sb_masked(const sb_mask_how *how, const sb_square *places, size_t columns, size_t i)
{
    const size_t r = i / columns, c = i % columns;
    if (r == c)
        return how->diagonal;
    return places && sb_overlap(&places[r], &places[c]);
}

#endif
