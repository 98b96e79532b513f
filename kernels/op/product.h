/* product.h: the product of two matrices, f32, rows = n h w:
 *
 *     SB_PRODUCT_ROWS     y = scale a' b   a [n, d], b [n, e] -> y [d, e]: sums over the rows
 *     SB_PRODUCT_COLUMNS  y = scale a b'   a [n, d], b [m, d] -> y [n, m]: sums over the columns
 *
 * x[0]: a. x[1]: b, which may be the same tensor. Over rows, scale = 1 / n makes it a covariance, or a
 * cross-correlation of standardised columns (Barlow Twins, VICReg); over columns it is every row's similarity
 * to every other's. The whole of y is stored: logsumexp_pairs.h is for where that is too large. */
#ifndef SB_KERNELS_OP_PRODUCT_H
#define SB_KERNELS_OP_PRODUCT_H

#include "kernels/op.h"

typedef enum { SB_PRODUCT_ROWS, SB_PRODUCT_COLUMNS } sb_product_form;

typedef struct {
    sb_product_form form;
    float scale;
} sb_product_how;

#endif
