/* softmax.h: y = softmax((x - offset) / T), row by row, f32, rows = n h w (the target of DINO, Caron et al.
 * 2021, with its centre). There is no gradient; cross_entropy.h has a softmax that has one.
 *
 * x[0]: logits [rows, K]. x[1], optional: offset [1, K], taken off every row. y of x[0]'s shape. */
#ifndef SB_KERNELS_OP_SOFTMAX_H
#define SB_KERNELS_OP_SOFTMAX_H

#include "kernels/op.h"

typedef struct {
    float temperature;
} sb_softmax_how;

#endif
