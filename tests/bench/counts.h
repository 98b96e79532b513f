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
#include "tests/bench/model.h"
#include "trainer/configuration.h"

#define SB_PEAKS_MAX 4

typedef struct {
    long calls;
    double bytes, operations;
    double kernels, libraries;  /* launches of our own, and of cuDNN and cuBLAS (model.h) */
    double bound[SB_PEAKS_MAX]; /* seconds at least, by each peak */
    double model[SB_PEAKS_MAX]; /* seconds as modelled */
} sb_tally;

typedef struct {
    sb_tally forward[SB_OPS], backward[SB_OPS]; /* VIEW: augment's, for the batch, all of whole tiles and
                                                   blurred; the rest is the trainer's */
    sb_tally pack, rows;  /* weights in the compute type; features between a chunk and the batch */
    double pixels, index; /* bytes that the trainer uploads: views, and in which order they come; */
    double numbers;       /* and what the loss is given: places, and a method's own */
    double tiles, views;  /* bytes that augment uploads and downloads */
    double memory;        /* bytes of the device, without what its kernels work in */
    int chunks;
} sb_counts;

/* Whether it is one of the operations that multiply in an encoder: a convolution (a linear layer of places
 * or tokens is one) or attention. */
static inline bool sb_counts_product(sb_op_id op)
{
    return op == SB_OP_CONV || op == SB_OP_DEPTHWISE || op == SB_OP_ATTENTION;
}

/* The settings of a recipe (NULL: none) with the chunk, and what is made again, that the trainer would choose
 * on this device. */
int sb_counts_settings(sb_settings *out, sb_device *device, const char *recipe,
                       const char *const *assignments, int count);

/* The steps that are predicted, and measured by tests/gpu.sh: DCL as in the demo, two views of whole tiles.
 */
typedef struct {
    const char *name, *encoder;
    int pixels, batch;
} sb_counts_case;
extern const sb_counts_case sb_counts_cases[];
extern const int sb_counts_case_count;

/* Its settings in a precision, as sb_counts_settings; `more` come last. */
int sb_counts_case_settings(sb_settings *out, sb_device *device, const sb_counts_case *c,
                            const char *precision, const char *const *more, int count);

/* A device that prepares nothing and has so much memory free. There is one. */
sb_device *sb_counts_paper(size_t available);

/* Counts one step of these settings. */
int sb_counts_step(const sb_settings *config, const sb_peak *peaks, int peak_count, sb_counts *out);

/* All that the trainer's step does. */
sb_tally sb_counts_sum(const sb_counts *counts);

/* Seconds that the trainer's step takes as modelled, on the GPU that stood at `place` of the peaks. */
double sb_counts_seconds(const sb_counts *counts, const sb_peak *peaks, int place);

#endif
