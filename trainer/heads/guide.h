/* guide.h: a head that is to tell from the backbone's features what a column of the manifest says of an image
 * (guide.COLUMN), and what that does to the features. In the manner of FINO (2026, arXiv 2606.05107): heads
 * for classes and for numbers; its prototypes, its dropout and its equal norms of gradients are left out.
 *
 *     h [rows, width]: of all views, not projected;  head: linear layers with biases and ReLU between
 *     classes  512, 512, 256, K    L = mean of  -log softmax(head(h))_class
 *     numbers  256, 128, 1         L = mean of  (head(h) - number)^2
 *
 * The mean is over the samples of which the column says something. The head learns by L's own gradient. What
 * goes back into h is multiplied by lambda, and by -1 where the weight is negative: the backbone then learns
 * what the head cannot tell the column from. */
#ifndef SB_TRAINER_HEADS_GUIDE_H
#define SB_TRAINER_HEADS_GUIDE_H

#include <stdint.h>

#include "trainer/graph/graph.h"

typedef struct {
    int classes; /* K; 0: a number */
    double weight;
} sb_guide_how;

/* lambda [1, 1]. said [samples, 1]: samples / those of which the column says something, or 0 where it says
 * nothing. target: [samples, K], 1 at the class of a sample, or [samples, 1], its number. name: of the
 * weights. Returns L [1, 1]. */
sb_t sb_guide(sb_graph *graph, sb_t h, sb_t lambda, sb_t said, sb_t target, const char *name,
              const sb_guide_how *how);

/* L of an output [rows, K or 1] that was to tell the column, said and target as above. */
sb_t sb_guide_error(sb_graph *graph, sb_t output, sb_t said, sb_t target, const sb_guide_how *how);

/* What L is multiplied by in the loss: the weight; a tenth of it where it is negative, as in FINO. */
static inline double sb_guide_share(const sb_guide_how *how)
{
    return how->weight < 0 ? -how->weight / 10 : how->weight;
}

/* lambda of step `step` of `steps`: 0 in the first tenth, yet at most 1000 steps, then 2 / (1 + exp(-10 p)) -
 * 1, where p goes from 0 to 1 over the others. */
double sb_guide_lambda(int64_t step, int64_t steps);

#endif
