/* mask.h: a matrix with some of its values replaced, f32, rows = n h w: y_rc = x_rc, and `value` where column
 * c is left out of row r, through which no gradient goes back.
 *
 * x[0]: [rows, columns]. x[1], optional: 8 bits of the same shape; a byte that is not 0 marks what is left
 * out. With `diagonal` column r is left out of row r, too. What takes a sum over pairs of samples masks them
 * with what adds nothing to it: 0, or -INFINITY in front of a softplus. */
#ifndef SB_KERNELS_OP_MASK_H
#define SB_KERNELS_OP_MASK_H

#include "kernels/op.h"

typedef struct {
    bool diagonal;
    float value; /* what stands where something is left out */
} sb_mask_how;

/* Whether value i, of rows of so many columns, is left out. marks may be NULL. */
SB_SHARED bool sb_masked(const sb_mask_how *how, const uint8_t *marks, size_t columns, size_t i)
{
    return (how->diagonal && i % columns == i / columns) || (marks && marks[i] != 0);
}

#endif
