/* convolve.h: convolutions in double, for the cases of those over all channels (conv.c) and of those of each
 * channel by itself (depthwise.c); and the gradient of a bias, for whoever has one. */
#ifndef SB_TESTS_KERNELS_CONVOLVE_H
#define SB_TESTS_KERNELS_CONVOLVE_H

#include "tests/kernels/op_cases.h"

typedef struct {
    int kernel, stride, pad;
    bool apart; /* w [c, 1, kernel, kernel], a channel by itself; else w [out, in, kernel, kernel] */
} sb_convolution;

typedef enum { SB_CONVOLVE_FORWARD, SB_CONVOLVE_DATA, SB_CONVOLVE_WEIGHT } sb_convolved;

/* Of x[0], w[0] and dy of a reference: y without a bias, dx[0] or dw[0], to `out`; and the bound of each
 * value, for sums of so many terms in f32 (NULL: not wanted). */
void sb_convolve(const sb_reference *r, const sb_convolution *c, sb_convolved which, double terms,
                 double *out, double *bound);

/* dw[1], the sums of the columns of dy, with their bounds: those of sums in f32, as a GPU's block adds up
 * (kernels/cuda/shares.h). */
void sb_bias_reference(sb_reference *r);

#endif
