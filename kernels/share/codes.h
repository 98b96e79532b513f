/* codes.h: numbers as codes of 8 bits, block by block, the same on every device (C and CUDA C compile this
 * file): an optimiser's state at a quarter of its size (Dettmers et al., "8-bit Optimizers via Block-wise
 * Quantization", 2022, arXiv 2110.02861).
 *
 * A block of SB_CODES_BLOCK values has its largest magnitude in f32, and each value as a code of what it is
 * of that. The code is the paper's dynamic tree: zeros in front say which power of ten, the first one ends
 * them, the bits behind it cut that decade evenly. So a large value keeps two digits, and a small one is not
 * lost beside it. A moment that may be negative has a sign and 7 such bits, from 1e-6 on; one that may not
 * has all 8, from 1e-7 on. Here a step is stood for by its upper end (the paper takes the middle): so 1 is a
 * code, a block's largest value comes back as it was, and the nearest code is found by arithmetic. */
#ifndef SB_KERNELS_CODES_H
#define SB_KERNELS_CODES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/share/half.h"

#define SB_CODES_BLOCK 2048
#define SB_CODES 256

SB_SHARED size_t sb_codes_blocks(size_t count) { return (count + SB_CODES_BLOCK - 1) / SB_CODES_BLOCK; }

/* What a code without a sign stands for, in 0 .. 1: a quotient of two whole numbers that are exact in f32.
 * bits: 7 or 8. */
SB_SHARED float sb_magnitude_of(int code, int bits)
{
    int steps = 1 << (bits - 1); /* of the decade */
    float ten = 10;
    if (code == 0)
        return 0;
    for (; steps > code; steps /= 2)
        ten *= 10;
    return (float)(steps + 9 * (code - steps + 1)) / (ten * (float)steps);
}

/* The code of the number nearest to x, 0 .. 1; of NaN any. What would be branches is arithmetic, so that it
 * is computed for many at once. */
SB_SHARED int sb_magnitude_code(float x, int bits)
{
    int decade = 0, power = 1, nine = 9;
    float ten = 10;
    for (int d = 1; d < bits; d++) {
        const int below = x <= 1 / ten;
        decade += below;
        power += below * nine;
        nine *= 10;
        ten *= 10;
    }
    /* The steps of a decade begin at 0.1 of its end, which is the code before. Of the last there is one, and
     * it begins at 0. */
    const int steps = (1 << (bits - 1)) >> decade, last = steps == 1;
    const float begin = 0.1f * (float)(1 - last), width = 0.9f + 0.1f * (float)last;
    return steps - 1 + (int)((x * (float)power - begin) * ((float)steps / width) + 0.5f);
}

/* Of a value of a block, which is `share` of its largest magnitude. */
SB_SHARED int sb_signed_code(float share)
{
    const int code = sb_magnitude_code(fabsf(share), 7);
    return code + ((code > 0) & (share < 0)) * 128;
}

/* What is not 0 does not become 0: Adam divides by its root. */
SB_SHARED int sb_unsigned_code(float share)
{
    const int code = sb_magnitude_code(share, 8);
    return code + ((code == 0) & (share > 0));
}

/* What a code stands for, as a share of the block's largest magnitude. */
SB_SHARED float sb_signed_value(int code)
{
    return code < 128 ? sb_magnitude_of(code, 7) : -sb_magnitude_of(code - 128, 7);
}
SB_SHARED float sb_unsigned_value(int code) { return sb_magnitude_of(code, 8); }

/* The bits of |value|, which order as the magnitudes do, NaN above all: the largest of them is the same in
 * whatever order it is looked for. */
SB_SHARED uint32_t sb_magnitude_bits(float value)
{
    sb_float_bits v;
    v.f = value;
    return v.u & 0x7FFFFFFF;
}

SB_SHARED float sb_magnitude_from(uint32_t bits)
{
    sb_float_bits v;
    v.u = bits;
    return v.f;
}

#endif
