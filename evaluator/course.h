/* course.h: how a measure went over the evaluations that a run has had, as evaluation.jsonl has them. */
#ifndef SB_EVALUATOR_COURSE_H
#define SB_EVALUATOR_COURSE_H

#include <stdint.h>

#include "evaluator/report.h"

#define SB_COURSE_DIGITS 1e-8 /* by so much a value is higher than another: the log has nine digits */

typedef void (*sb_course_taker)(void *context, int64_t step, double value);

/* Gives the measure of the trained network in each evaluation with the report's gallery (as many tiles,
 * views, pixels), in the order of steps; of a step that was evaluated again the first. The log has nine
 * digits. */
int sb_course_read(const char *run_dir, const sb_report *report, sb_metric_id measure, sb_course_taker take,
                   void *context);

#endif
