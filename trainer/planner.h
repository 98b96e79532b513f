/* planner.h: what of a batch is in the backbone at once, and what is made again, chosen so that it fits; and
 * what a recipe takes, said beforehand (`./run plan`). All of it is arithmetic: nothing is taken. */
#ifndef SB_TRAINER_PLANNER_H
#define SB_TRAINER_PLANNER_H

#include "kernels/device.h"
#include "trainer/configuration.h"
#include "trainer/step/step.h"

/* Chooses trainer.precision, trainer.chunk and trainer.recompute where they are auto, and writes them into
 * the settings and the configuration: a chunk is the group of the norms, so a run keeps it wherever it goes
 * on. It opens the device to ask what it computes in and what is free; a precision that it lacks is refused.
 * A whole batch is rather made to fit by recomputing than cut; one that has to be cut is cut into chunks of
 * at least 32 views, if recomputing gives that. What augment and the loaders may take before the run starts
 * is left free, where that is possible. Says what it chose, unless all is kept. Where nothing fits, the chunk
 * stays whole: the step's own error says what is missing. */
int sb_planner_settle(sb_settings *settings, sb_config *config);

/* The same on a device that is open. */
int sb_planner_settle_on(sb_device *device, sb_settings *settings, sb_config *config);

/* What a step may take of a device of so many bytes that is not here: all but the reserve and the libraries'.
 */
size_t sb_planner_card(size_t memory);

/* The largest chunk that fits into so many bytes if this is made again, beside the margin or, where nothing
 * does, beside as much of it as can be (sb_step_fit). 0: none fits. */
int sb_planner_fit(sb_step *sketch, sb_recompute recompute, size_t available);

/* Prints what the recipe takes, as ./run plan shows it. memory: the bytes of a device that is not here; 0:
 * what is free on this machine's. */
int sb_planner_print(const sb_settings *settings, size_t memory);

#endif
