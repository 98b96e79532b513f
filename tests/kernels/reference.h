/* reference.h: every operation of kernels/device.h once more, in double and in plain loops, with nothing shared with any device: what the
 * cases compare against, and what finite differences prove.
 *
 * Shapes, layouts and meanings are device.h's; all arrays are dense doubles of the caller's. "Accumulate" is the caller's to add. These
 * functions say what the result is, not how to be fast: keep the shapes small. */
#ifndef SB_TESTS_REFERENCE_H
#define SB_TESTS_REFERENCE_H

#include "kernels/device.h"

/* Weights OIHW. */
void sb_reference_conv_forward(const sb_conv_shape *s, const double *x, const double *w, double *y);
void sb_reference_conv_backward_data(const sb_conv_shape *s, const double *dy, const double *w, double *dx);
void sb_reference_conv_backward_weight(const sb_conv_shape *s, const double *x, const double *dy, double *dw);

/* gamma, beta, residual and dy_more may be NULL; each output may be NULL. `g` is the gradient that passed the ReLU: the residual's. */
void sb_reference_norm_statistics(const sb_norm_shape *s, const double *x, double *mean, double *variance);
void sb_reference_norm_apply(const sb_norm_shape *s, const double *x, const double *residual, const double *gamma, const double *beta,
                             const double *mean, const double *variance, double *y);
void sb_reference_norm_backward(const sb_norm_shape *s, const double *x, const double *y, const double *dy, const double *dy_more,
                                const double *gamma, const double *mean, const double *variance, double *dx, double *g, double *dgamma,
                                double *dbeta);

void sb_reference_maxpool_forward(const sb_pool_shape *s, const double *x, double *y, double *argmax);
void sb_reference_maxpool_backward(const sb_pool_shape *s, const double *argmax, const double *dy, double *dx);
void sb_reference_avgpool_forward(const sb_pool_shape *s, const double *x, double *y);
void sb_reference_avgpool_backward(const sb_pool_shape *s, const double *dy, double *dx);

/* out[m, n] = op(a) op(b) */
void sb_reference_matmul(bool transpose_a, bool transpose_b, int m, int n, int k, const double *a, const double *b, double *out);

/* out [columns] of x [rows, columns]; out [rows] = <a_r, b_r>. */
void sb_reference_column_sum(int rows, int columns, const double *x, double *out);
void sb_reference_row_dot(int rows, int columns, const double *a, const double *b, double *out);

void sb_reference_rownorm_forward(int rows, int columns, const double *x, double *z, double *norm);
void sb_reference_rownorm_backward(int rows, int columns, const double *z, const double *norm, const double *dz, double *dx);

/* s_ij = <z_i, z_j> / temperature, -INFINITY where left out; [M, M]. skip may be NULL. */
void sb_reference_similarity(const sb_similarity_shape *s, const double *z, const double *skip, double *out);
void sb_reference_similarity_lse(const sb_similarity_shape *s, const double *z, const double *skip, double *lse);
/* The gradient alone, without what dz held. */
void sb_reference_similarity_gradient(const sb_similarity_shape *s, const double *z, const double *skip, const double *lse, double scale,
                                      double *dz);

/* One tensor's step in place. `state` as in sb_parameter: one or two arrays of count, the second at state + count. */
void sb_reference_update(const sb_update_values *v, bool decayed, size_t count, double *weight, const double *gradient, double *state);

/* The view in levels (0 .. 255), not rounded. Returns the smallest distance of any value to the solarise threshold (in 0 .. 1), which is where
 * a last bit decides a whole value; 1 where there is none. */
double sb_reference_view(const double *tile, int tile_width, int tile_height, int channels, const sb_view_params *p, double *out);

#endif
