/* beside.h: what a GPU measures, set beside bound and model (model.h): a row with a verdict for each call and
 * step, and in the end the share of the GPU that each kind of kernel reached, by which sb_assumed is to be
 * corrected. What the rows said is gathered here, once a process. */
#ifndef SB_TESTS_BENCH_BESIDE_H
#define SB_TESTS_BENCH_BESIDE_H

#include "tests/bench/model.h"

void sb_beside_head(void);

/* A row, by the seconds of each. The verdict: whether what was measured is within SB_MODEL_FACTOR of the
 * model. */
void sb_beside_row(const char *name, double bound, double model, double measured);

/* The row of a call. */
void sb_beside_call(const char *name, const sb_peak *gpu, const sb_work *w, double measured);

/* How many rows were as modelled; and each share that calls depended on: as assumed, and as reached (the
 * geometric mean, the least and the most). */
void sb_beside_end(void);

#endif
