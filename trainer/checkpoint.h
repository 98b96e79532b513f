/* checkpoint.h: checkpoints/step-N.safetensors: weights, running statistics, optimiser state, step and
 * configuration.
 *
 * A checkpoint is a pure function of configuration, data and step: no run directory, time, pid or host is in
 * it. Names are torchvision's; the projector's begin with "projector.", the optimiser's with "optimiser.K."
 * for state array K. A damaged checkpoint is noticed (checksum, names, shapes) and the one before it used. */
#ifndef SB_TRAINER_CHECKPOINT_H
#define SB_TRAINER_CHECKPOINT_H

#include "trainer/graph/store.h"

/* Host memory laid out as the store's sections. state: state_count arrays as long as the weights, one behind
 * the other; NULL: not of interest. A store that knows only a backbone reads only that: what else a file has
 * is passed over. */
typedef struct {
    const sb_store *store;
    float *weight, *statistic, *state;
    int state_count;
    int64_t step;
    const char *config_text;
} sb_checkpoint_view;

/* Writes the view's checkpoint and removes all but the newest `keep`. */
int sb_checkpoint_save(const char *run_dir, const sb_checkpoint_view *view, int keep);

/* Reads the newest sound checkpoint into the view's arrays and step. 1: read; 0: there is none; -1. Damaged
 * ones are noted. */
int sb_checkpoint_load_latest(const char *run_dir, sb_checkpoint_view *view);

/* Path of the newest sound checkpoint (PATH_MAX bytes). 1, 0, -1. */
int sb_checkpoint_latest(const char *run_dir, char *path);

/* Takes weights and running statistics from a safetensors file with torchvision's or timm's names, also
 * behind a prefix ("module.", "backbone.", "encoder."). *report (malloc'ed): what matched, what did not. An
 * error if no tensor matches. */
int sb_checkpoint_init(sb_checkpoint_view *view, const char *path, char **report);

#endif
