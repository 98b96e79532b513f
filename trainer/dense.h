/* dense.h: the dense term, which any method that compares views can have beside its loss: what a place of a
 * view shows is to be found in the other view (DenseCL, Wang et al. 2021, arXiv 2011.09157).
 *
 *     F: the backbone's map of a view, averaged to a grid;  z = f(F), cell by cell;  f: linear, ReLU, linear
 *     q = z / |z| of the one view;  k the same of the other one, of the target network where there is one
 *     k+(m) = k_j,  j = argmax over the cells of the other view of the same image of cos(F_m, F'_j)
 *     L_dense = mean over samples, cells, views of
 *               log(exp(<q_m, k+(m)> / T) + sum over the queue of exp(<q_m, n> / T)) - <q_m, k+(m)> / T
 *     L = (1 - weight) L of the method + weight L_dense
 *     the oldest rows of the queue <- the mean of z over the cells, of unit length, of the first view
 *
 * View v finds its places in view v + 1, the last one in the first. Where a method has no target network the
 * keys are the trained network's, without a gradient; the queue then has keys of earlier weights. Only rows
 * that a step has pushed are negatives. */
#ifndef SB_TRAINER_DENSE_H
#define SB_TRAINER_DENSE_H

#include "proto/key.h"
#include "trainer/graph/graph.h"

typedef struct sb_method sb_method; /* trainer/method.h */

/* dense.* */
typedef struct {
    double weight; /* 0: there is no such term */
    double temperature;
    int grid, hidden, out, queue;
} sb_dense_keys;

extern const sb_key_table sb_dense_table;

/* What the term has of a batch's maps: z, and the keys and what goes into the queue, which have no gradient.
 */
typedef struct {
    sb_t z, keys, pooled;
} sb_dense;

/* The layers f over the maps of a batch and of its target network: their weights come next in the store. 0;
 * -1: the method cannot have the term, and why. */
int sb_dense_begin(sb_method *method, sb_dense *out);

/* L_dense [1, 1]. */
sb_t sb_dense_loss(sb_method *method, const sb_dense *dense);

#endif
