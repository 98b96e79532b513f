/* checkpoint.h: checkpoints/step-N.safetensors: weights, running statistics, optimiser state, step and
 * configuration.
 *
 * A checkpoint is a pure function of configuration, data and step: no run directory, time, pid or host is in
 * it. Names are torchvision's; a head's begin with its own ("projector."), and what is there beside the
 * weights has a prefix of its own ("optimiser.K." for state array K). A state of 8 bits is two tensors:
 * NAME.codes, U8 with the weight's shape, and NAME.maxima, F32, one for each of its blocks. A damaged
 * checkpoint is noticed (checksum, names, shapes) before anything of it is loaded; then the one before it is
 * used. Tensors go between file and device piece by piece (kernels/staging.h): the host holds no copy of
 * them. */
#ifndef SB_TRAINER_CHECKPOINT_H
#define SB_TRAINER_CHECKPOINT_H

#include "trainer/graph/state.h"

#define SB_CHECKPOINT_PARTS 16
#define SB_CHECKPOINT_PREFIX 32

/* One array of device memory, laid out as the store lays out the entries of a kind, or as an optimiser's
 * state. */
typedef struct {
    char prefix[SB_CHECKPOINT_PREFIX]; /* of its names in the file */
    sb_entry_kind kind;
    float *memory;
    size_t floats;                /* of the array; entries that lie behind them are not in it */
    const sb_state_layout *state; /* NULL: as the store */
} sb_checkpoint_part;

/* What is saved or loaded. Anything else in a file is passed over: a store that knows only a backbone reads
 * only the backbone. */
typedef struct {
    const sb_store *store; /* names, and the device */
    sb_checkpoint_part parts[SB_CHECKPOINT_PARTS];
    int part_count;
    int64_t step;
    const char *config_text; /* save: kept in the file */
    const char *teacher; /* mark of the teacher's file (teacher.h): a checkpoint of a run with another one is
                            not used; NULL: the run has none, or it does not matter */
} sb_checkpoint_view;

/* Writes the view's checkpoint and removes all but the newest `keep`. */
int sb_checkpoint_save(const char *run_dir, const sb_checkpoint_view *view, int keep);

/* Reads the newest sound checkpoint into the view's arrays and step. 1: read; 0: there is none, and nothing
 * was changed; -1. A checkpoint that is damaged, or of another network, is noted and changes nothing. One
 * that was found sound and cannot be read to its end after that is noted, too: the next one that is read
 * overwrites all that was loaded from it. */
int sb_checkpoint_load_latest(const char *run_dir, sb_checkpoint_view *view);

/* Path of the newest sound checkpoint (PATH_MAX bytes), and its step. 1, 0, -1. */
int sb_checkpoint_latest(const char *run_dir, char *path, int64_t *step);

/* RUN/checkpoints/best.safetensors, which an evaluator keeps: one of the others, under a second name, so that
 * it outlives them. Its path (PATH_MAX bytes), its step, and its configuration as sb_checkpoint_begun has it
 * (NULL: not wanted). 1; 0: there is none; -1. load: as sb_checkpoint_load_given. */
int sb_checkpoint_best(const char *run_dir, char *path, int64_t *step, char **config_text);
int sb_checkpoint_load_best(const char *run_dir, sb_checkpoint_view *view);
int sb_checkpoint_fail_best(const char *run_dir); /* why there may be none; -1 */

/* A process holds the checkpoint of one step at a time, as checkpoints/held-PID.safetensors: it stays there,
 * whoever removes it, until it is let go, kept as the best one, or a signal ends the process. hold: 1; 0:
 * there is no such checkpoint, and none is held; -1. keep: 1; 0: none was held; -1. drop_held: removes what
 * processes held that were killed; for the trainer, before it begins. */
int sb_checkpoint_hold(const char *run_dir, int64_t step);
int sb_checkpoint_keep_best(const char *run_dir);
int sb_checkpoint_let_go(const char *run_dir);
int sb_checkpoint_drop_held(const char *run_dir);

/* Makes the best checkpoint, which is of this step, the newest: later ones go to RUN/checkpoints/left.
 * Returns how many, or -1. */
int sb_checkpoint_go_back(const char *run_dir, int64_t step);

/* How far the run is, and the configuration that it came there with (malloc'ed, the caller frees; NULL: none
 * is kept): of the newest sound checkpoint, or of given.safetensors, which is step 0. 1; 0: nothing has
 * begun, and *step is 0; -1, also where there are checkpoints and none is sound. */
int sb_checkpoint_begun(const char *run_dir, int64_t *step, char **config_text);

/* RUN/given.safetensors: the network (the parts without a prefix) as a run was given it by `init`, before its
 * first step. With it neither a start that was interrupted nor an evaluation needs the file of `init` again.
 * load: 1: read; 0: there is none, and nothing was changed; -1. */
int sb_checkpoint_keep_given(const char *run_dir, const sb_checkpoint_view *view);
int sb_checkpoint_load_given(const char *run_dir, const sb_checkpoint_view *view);

#endif
