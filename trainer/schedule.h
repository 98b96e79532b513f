/* schedule.h: the learning rate of a step: scaled by the batch, linear warm-up, cosine; and the backbone's
 * share of it where a run goes on from given weights (continue.*). Both are functions of the step's number
 * alone. */
#ifndef SB_TRAINER_SCHEDULE_H
#define SB_TRAINER_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/keys.h"
#include "trainer/optimiser.h"

/* With B samples in a step: lr, lr B / 256 (linear, Goyal et al. 2017) or lr sqrt(B) (SimCLR, appendix B.1).
 */
double sb_schedule_peak(const sb_optimiser_keys *optimiser, const sb_trainer_keys *trainer);

/* Step `number` counts from 0; warm-up reaches the peak at its last step; the last step of the run has
 * final_lr of the peak. */
double sb_schedule_lr(const sb_optimiser_keys *optimiser, const sb_trainer_keys *trainer, int64_t number);

/* Whether the heads learn alone in this step: nothing of the backbone changes, its running statistics
 * neither.
 */
bool sb_schedule_heads_alone(const sb_continue_keys *continuing, int64_t number);

/* The backbone's learning rate in this step, as a share of the heads': 0 while they learn alone; then
 * lr k / ramp in the k-th step after, and lr from the ramp's last step on. 1 where nothing is continued. */
double sb_schedule_backbone(const sb_continue_keys *continuing, int64_t number);

#endif
