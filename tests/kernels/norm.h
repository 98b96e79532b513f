/* norm.h: the reference of batch and group normalisation (kernels/op/norm.h), for their cases. */
#ifndef SB_TESTS_NORM_H
#define SB_TESTS_NORM_H

#include "kernels/op/norm.h"
#include "tests/kernels/op_cases.h"

/* given: statistics [sets, 2, groups] to normalise with; NULL: those of x, which go to aux. */
void sb_norm_reference(sb_reference *r, const sb_norm *norm, const double *given);
void sb_norm_reference_back(sb_reference *r, const sb_norm *norm);

/* dy where the ReLU let it through: nothing is rounded. */
static inline double sb_norm_masked(const sb_reference *r, const sb_norm *norm, size_t i)
{
    return norm->relu && r->y[i] <= 0 ? 0 : r->dy[i];
}

/* Moves values away from the ReLU's kink, where roundings would decide whether a gradient passes. */
void sb_norm_clear_kink(sb_trial *t, sb_reference *r, const sb_norm *norm, const double *given);

/* Values for x (`offset` from 0 in deviations, and each channel `step` from the one before), residual, gamma
 * and beta. */
void sb_norm_fill(sb_trial *t, sb_reference *r, double offset, double step);

#endif
