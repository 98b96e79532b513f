/* counts.h: what a training step asks of a GPU, counted without one.
 *
 * The real trainer/step.c runs on a device that computes nothing and counts, so that calls, sizes and transfers are those of a run. Bytes are what
 * the kernels of kernels/cuda read and write (an activation that two passes read counts twice), caches left aside; operations are multiplications
 * and additions of convolutions and products. tests/emulated/test_counts.c holds launches and transfers against what the CUDA device does. */
#ifndef SB_TESTS_BENCH_COUNTS_H
#define SB_TESTS_BENCH_COUNTS_H

#include "proto/config.h"
#include "tests/bench/peak.h"
#include "trainer/step.h"

#define SB_PEAKS_MAX 4

typedef enum { SB_COUNT_CONV, SB_COUNT_CONV_DATA, SB_COUNT_CONV_WEIGHT, SB_COUNT_PACK, SB_COUNT_NORM, SB_COUNT_NORM_BACKWARD, SB_COUNT_POOL,
               SB_COUNT_INPUT, SB_COUNT_PRODUCT, SB_COUNT_SIMILARITY, SB_COUNT_VECTOR, SB_COUNT_UPDATE, SB_COUNT_VIEW, SB_COUNT_KINDS } sb_count_kind;
extern const char *const sb_count_names[SB_COUNT_KINDS];

/* What an operation has the GPU do: our kernels, calls of cuDNN and cuBLAS, fills and copies within its memory. */
typedef struct {
    long kernels, libraries, fills;
} sb_launches;

typedef struct {
    long calls; /* of device.h */
    sb_launches launches;
    double bytes, operations;
    double bound[SB_PEAKS_MAX]; /* seconds at least, by each peak */
} sb_tally;

typedef struct {
    sb_tally of[SB_COUNT_KINDS];  /* views: augment's, for the batch, all of whole tiles and blurred; the rest is the trainer's */
    long uploads, downloads;      /* the trainer's transfers */
    double uploaded, downloaded;  /* their bytes */
    double tiles, views;          /* bytes that augment uploads and downloads */
    sb_step_budget budget;
} sb_counts;

/* Counts one step of a finished configuration. */
int sb_counts_step(const sb_config *config, const sb_peak *peaks, int peak_count, sb_counts *out);

/* Adds a tally to another. */
void sb_tally_add(sb_tally *to, const sb_tally *from);

/* All launches of a tally. */
static inline long sb_launches_sum(const sb_launches *l) { return l->kernels + l->libraries + l->fills; }

#endif
