/* falling.h: whether held-out quality falls: the alarm that evaluations raise. Those of trainer/watch.h are
 * of steps.
 *
 * The measure is the one that tells most (sb_report_telling), of labels or groups: what needs neither raises
 * no alarm. Its mean over the last SB_FALLING_MEAN evaluations is held against the highest such mean before.
 * It is low where it lies more than SB_FALLING_ERRORS standard errors, and more than SB_FALLING_LEAST, below:
 * the error of one evaluation, of a share over as many cases as there are held-out groups that can be right
 * or wrong, since the tiles of a group are so together. It is that of (right + 2) of (cases + 4), which is
 * not 0 at either end (Agresti and Coull 1998). The alarm is raised when the mean becomes low. A run that
 * continues from given weights has those as its first mean. */
#ifndef SB_EVALUATOR_FALLING_H
#define SB_EVALUATOR_FALLING_H

#include "evaluator/evaluate.h"
#include "trainer/alarm.h"

#define SB_FALLING_MEAN 3
#define SB_FALLING_ERRORS 4.0
#define SB_FALLING_LEAST 0.02

typedef struct {
    int cases;
    double values[SB_FALLING_MEAN]; /* the last ones, in a ring */
    int64_t count;
    double mean;
    bool known;        /* there is a best */
    double best;       /* the highest mean so far */
    int64_t best_step; /* of its last value; 0: the weights as given */
    double bound;      /* below it a mean is low */
    bool low;
} sb_falling;

/* What a run that continues begins with. */
void sb_falling_given(sb_falling *falling, double value);

/* Takes a value. Whether it raises the alarm. */
bool sb_falling_look(sb_falling *falling, int64_t step, double value);

/* After the evaluation of a step, which is in evaluation.jsonl. 1: it raises the alarm; 0; -1. */
int sb_falling_check(const sb_evaluation *evaluation, sb_alarm *out);

#endif
