/* held.h: whether a run that goes on from given weights (continue.*) still holds what they were worth. */
#ifndef SB_EVALUATOR_HELD_H
#define SB_EVALUATOR_HELD_H

#include <stddef.h>

#include "evaluator/report.h"

/* A line about the report, which has a row of the weights as given and is in evaluation.jsonl, into
 * out[bytes]: where the measure that tells most (sb_metric) stands against theirs, from more than `stop`
 * below on that it is time to stop, and the step of the best evaluation with the same gallery, with its
 * checkpoint. */
int sb_held_say(const sb_report *report, const char *run_dir, double stop, char *out, size_t bytes);

#endif
