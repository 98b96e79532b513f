/* results.h: what a cell's evaluation found, as its evaluation.jsonl says. */
#ifndef SB_SWEEP_RESULTS_H
#define SB_SWEEP_RESULTS_H

#include <stdint.h>

#include "evaluator/measure.h"

#define SB_RESULT_ROWS 8
#define SB_RESULT_NAME_MAX 32

/* The rows of one evaluation, the trained network's first. A value is NAN where the evaluation has none. */
typedef struct {
    char name[SB_RESULT_ROWS][SB_RESULT_NAME_MAX];
    double value[SB_RESULT_ROWS][SB_METRICS];
    int rows, tiles;
} sb_result;

/* The last evaluation of the run's checkpoint of step `steps`, into out (NULL: only whether there is one). 1;
 * 0: there is none; -1. */
int sb_result_read(const char *run_dir, int64_t steps, sb_result *out);

#endif
