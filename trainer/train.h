/* train.h: the training loop of a run. */
#ifndef SB_TRAINER_TRAIN_H
#define SB_TRAINER_TRAIN_H

#include <stddef.h>

#include "proto/layout.h"
#include "trainer/alarm.h"
#include "trainer/configuration.h"

typedef enum {
    SB_TRAIN_FAILED = -1,
    SB_TRAIN_FINISHED = 0,
    SB_TRAIN_STOPPED = 3,
    SB_TRAIN_RESIZED = 5,
    SB_TRAIN_NO_ROOM = 7,
    SB_TRAIN_ALARM = SB_EXIT_ALARM
} sb_train_end;

/* Trains the run from its newest checkpoint (or the start) to the end. FAILED: sb_error says why; it is so,
 * too, where config.yaml is of another run than the checkpoint, or ends before it (resume.h). STOPPED: the
 * last finished step is saved. RESIZED: it is, too, and from the next step on the views have other sizes: to
 * be called again, in a new process, which has memory and rings for those. NO_ROOM: before it began, for lack
 * of memory alone, which sb_error names; with less of it in use by others it would have. ALARM: as STOPPED,
 * because of an alarm (trainer.on_alarm). */
sb_train_end sb_train(const char *run_dir);

/* How many bytes a run of this configuration takes: memory of the device that it would use, and shared memory
 * for views. If there is less, the error says what would fit. */
int sb_train_needs(const sb_settings *config, size_t *device, size_t *shared);

/* Where the views of a batch lie in shared memory. */
void sb_train_layout(sb_layout *out, const sb_settings *config);

/* Does all that a run's start does but for its directory, data and shared memory: plans, takes the memory,
 * reads `init` and notes what matched. */
int sb_train_check(const sb_settings *config);

#endif
