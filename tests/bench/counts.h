/* counts.h: what a training step asks of a device, counted without one.
 *
 * Encoder, heads and loss are planned as the trainer plans them (trainer/graph), on a device that prepares
 * nothing; bytes and operations of every turn come from the operation's own description (kernels/op.h: cost).
 * These counts are the least that has to be moved and computed. Activations that a call reads twice count
 * once or twice, as the description says. Caches are left aside, and so is the workspace that a device
 * needs. */
#ifndef SB_TESTS_BENCH_COUNTS_H
#define SB_TESTS_BENCH_COUNTS_H

#include "kernels/op.h"
#include "tests/bench/peak.h"
#include "trainer/configuration.h"

#define SB_PEAKS_MAX 4

typedef struct {
    long calls;
    double bytes, operations;
    double bound[SB_PEAKS_MAX]; /* seconds at least, by each peak */
} sb_tally;

typedef struct {
    sb_tally forward[SB_OPS], backward[SB_OPS]; /* VIEW: augment's, for the batch, all of whole tiles and
                                                   blurred; the rest is the trainer's */
    sb_tally pack, rows;  /* weights in the compute type; features between a chunk and the batch */
    double pixels, index; /* bytes that the trainer uploads: views, and in which order they come; */
    double numbers;       /* and what the loss is given: places, and a method's own */
    double tiles, views;  /* bytes that augment uploads and downloads */
    double memory; /* bytes: weights, their gradients, state, the largest arena, what the batch keeps */
    int chunks;
} sb_counts;

/* Whether it is one of the operations that multiply in an encoder: a convolution (a linear layer of places
 * or tokens is one) or attention. */
static inline bool sb_counts_product(sb_op_id op)
{
    return op == SB_OP_CONV || op == SB_OP_DEPTHWISE || op == SB_OP_ATTENTION;
}

/* Counts one step of these settings. */
int sb_counts_step(const sb_settings *config, const sb_peak *peaks, int peak_count, sb_counts *out);

/* Adds a tally to another. */
void sb_tally_add(sb_tally *to, const sb_tally *from);

/* All that the trainer's step does. */
sb_tally sb_counts_sum(const sb_counts *counts);

#endif
