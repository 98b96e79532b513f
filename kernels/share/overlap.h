/* overlap.h: which samples show the same pixels. A sample's place is the square of an image that its tile
 * covers. Two that overlap are never each other's negatives. An operation over pairs of samples takes places
 * and asks here, so that no matrix of all pairs is ever in memory. */
#ifndef SB_KERNELS_SHARE_OVERLAP_H
#define SB_KERNELS_SHARE_OVERLAP_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/share/share.h"

/* Columns left .. left + side - 1 and rows top .. top + side - 1. As an array of N places: i32 [N, 4]. */
typedef struct {
    int32_t image, left, top, side;
} sb_square;

#define SB_SQUARE_NUMBERS 4

/* Whether begin .. begin + length - 1 and other .. other + other_length - 1 have a number in common. */
SB_SHARED bool sb_overlap_along(int32_t begin, int32_t length, int32_t other, int32_t other_length)
{
    const int64_t end = (int64_t)begin + length, other_end = (int64_t)other + other_length;
    return (begin > other ? begin : other) < (end < other_end ? end : other_end);
}

/* Whether two squares share a pixel. One without a side has none. */
SB_SHARED bool sb_overlap(const sb_square *a, const sb_square *b)
{
    return a->image == b->image && sb_overlap_along(a->left, a->side, b->left, b->side) &&
           sb_overlap_along(a->top, a->side, b->top, b->side);
}

#endif
