/* best.h: which checkpoint is the best one, RUN/checkpoints/best.safetensors (checkpoint.h): that of the
 * evaluation with the highest evaluate.best, of equals the first.
 *
 * An evaluation can be the best where there is a checkpoint of its step. The evaluator that accompanies a run
 * holds that while it measures, so that no trainer removes it. */
#ifndef SB_EVALUATOR_BEST_H
#define SB_EVALUATOR_BEST_H

#include "evaluator/evaluate.h"

/* Holds the checkpoint of the report's step. 1; 0: there is none, and nothing is held; -1. */
int sb_best_hold(const sb_evaluation *evaluation);

/* After the evaluation, which is in evaluation.jsonl: what is held becomes the best, or is let go. A line
 * that says which is the best is printed; where that has no checkpoint, it is noted once. */
int sb_best_settle(const sb_evaluation *evaluation);

#endif
