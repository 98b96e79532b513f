/* nuclear_norm.h: the sum of a matrix' singular values (MMCR, Yerxa et al. 2023), f32: x [n, d], rows n h w
 * -> y [1, 1]. With x = U S V', aux, of x's shape, is U V', and backward: dx = dy U V'.
 *
 * Devices turn the vectors of the smaller side (rows where n <= d, columns elsewhere) in pairs, in f64, until
 * each is orthogonal to all others (one-sided Jacobi, Hestenes 1958): their lengths are the singular values.
 * The pairs of a round have no vector in common, so they may be turned in any order.
 *
 * A singular value below SB_NUCLEAR_LEAST of the largest is rounding, and its direction chance: it counts as
 * 0, in y and in U V'. So equal rows have a gradient along their one direction alone, and a matrix of zeros
 * none. */
#ifndef SB_KERNELS_OP_NUCLEAR_NORM_H
#define SB_KERNELS_OP_NUCLEAR_NORM_H

#include <math.h>

#include "kernels/op.h"

#define SB_NUCLEAR_LEAST 0x1p-20
#define SB_NUCLEAR_SWEEPS 64     /* at most; some ten are usual */
#define SB_NUCLEAR_SIDE_MAX 2048 /* of the smaller side */

/* A call as the devices see it: `count` vectors of `length`. Value j of vector i is x[i * across + j *
 * along].
 */
typedef struct {
    int count, length;
    size_t across, along;
} sb_nuclear_norm;

static inline sb_nuclear_norm sb_nuclear_norm_of(const sb_call *call)
{
    int n = (int)sb_shape_rows(&call->xs[0]), d = call->xs[0].c;
    sb_nuclear_norm rows = { n, d, (size_t)d, 1 }, columns = { d, n, 1, (size_t)d };
    return n <= d ? rows : columns;
}

/* What forward works in, f64: the vectors [count, length]; what they were turned by [count, count]; singular
 * values [count]. */
static inline size_t sb_nuclear_norm_scratch(const sb_nuclear_norm *s)
{
    size_t count = (size_t)s->count;
    return count * ((size_t)s->length + count + 1) * sizeof(double);
}

/* A round-robin of `count` vectors: pairs of a round, and rounds of a sweep. */
SB_SHARED int sb_nuclear_pairs(int count) { return (count + 1) / 2; }
SB_SHARED int sb_nuclear_rounds(int count) { return 2 * sb_nuclear_pairs(count) - 1; }

/* Pair p of a round; false: one of the two is no vector (an odd count has one that rests). */
SB_SHARED bool sb_nuclear_pair(int count, int round, int p, int *a, int *b)
{
    int rounds = sb_nuclear_rounds(count), other = rounds - p;
    *a = p == 0 ? 0 : 1 + (p - 1 + round) % rounds;
    *b = 1 + (other - 1 + round) % rounds;
    return *a < count && *b < count;
}

/* The turn after which two vectors of squared lengths aa and bb and product ab are orthogonal: a becomes
 * cosine a - sine b, b becomes sine a + cosine b. false: they are already. */
SB_SHARED bool sb_nuclear_turn(double aa, double bb, double ab, double *cosine, double *sine)
{
    if (!(fabs(ab) > 4e-16 * sqrt(aa) * sqrt(bb)))
        return false;
    double zeta = (bb - aa) / (2 * ab), tangent = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
    *cosine = 1 / sqrt(1 + tangent * tangent);
    *sine = *cosine * tangent;
    return true;
}

#endif
