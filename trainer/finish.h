/* finish.h: what a run ends with: backbone.safetensors and the status. */
#ifndef SB_TRAINER_FINISH_H
#define SB_TRAINER_FINISH_H

#include <stdint.h>

/* Writes them for a run whose newest checkpoint is of its last step, `steps`, where they are not there
 * already: it may have been killed before it did so. What is there stays as it is. */
int sb_finish(const char *run_dir, int64_t steps);

#endif
