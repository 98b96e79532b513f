/* schedule.h: the learning rate of a step: scaled by the batch, linear warm-up, cosine. */
#ifndef SB_TRAINER_SCHEDULE_H
#define SB_TRAINER_SCHEDULE_H

#include <stdint.h>

#include "trainer/keys.h"
#include "trainer/optimiser.h"

/* With B samples in a step: lr, lr B / 256 (linear, Goyal et al. 2017) or lr sqrt(B) (SimCLR, appendix B.1).
 */
double sb_schedule_peak(const sb_optimiser_keys *optimiser, const sb_trainer_keys *trainer);

/* Step `number` counts from 0; warm-up reaches the peak at its last step; the last step of the run has
 * final_lr of the peak. */
double sb_schedule_lr(const sb_optimiser_keys *optimiser, const sb_trainer_keys *trainer, int64_t number);

#endif
