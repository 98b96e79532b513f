/* choices.h: which plan was chosen for which operation, kept for this machine, so that the next run takes
 * the same without timing anything: timing may choose otherwise, and other plans give other bits. Private to
 * kernels/cuda.
 *
 * One file in ${XDG_CACHE_HOME:-$HOME/.cache}/smallbatch, named by what a choice depends on (GPU, CUDA,
 * driver, cuDNN), which it also holds:
 *
 *     {"machine": "NVIDIA H100 ..., cuDNN 91900",
 *      "plans": {"forward of [8, 32, 32, 64] to 64 channels, ...": "eng5_k17=2", ...}}
 *
 * A plan is named as cuDNN's own frontend does: engine, and each knob with its value. Of the driver only the
 * version of CUDA that it is for is known, not its build. The file appears whole, by renaming, and is read
 * again before each choice is added: of two processes that choose for the same operation, the first decides
 * for both. There is no lock: a choice that another process adds in the moment between reading and renaming
 * is lost to the file, and made anew by the next run that needs it. A file that cannot be read, or is another
 * machine's, is begun anew. Deleting it is safe: the next run times its plans again, and may differ from
 * those before. */
#ifndef SB_KERNELS_CUDA_CHOICES_H
#define SB_KERNELS_CUDA_CHOICES_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

typedef struct {
    char path[PATH_MAX]; /* "": nowhere */
    char machine[256];
    char trouble[1024]; /* what is wrong with the file or its place, for a note; "": nothing */
    bool keeps; /* false: nothing more is kept, and `trouble` says why; what was kept before is still found */
    json_t *plans; /* by operation */
} sb_cuda_choices;

/* Reads what is kept for `machine`. Whatever is wrong with the file is no error. close has to follow; it
 * tolerates a zeroed struct. */
void sb_cuda_choices_open(sb_cuda_choices *choices, const char *machine);
void sb_cuda_choices_close(sb_cuda_choices *choices);

/* The plan chosen for an operation; NULL: none yet. Valid until the next call of keep. */
const char *sb_cuda_choices_find(const sb_cuda_choices *choices, const char *operation);

/* Keeps `plan`, in place of what `find` gives. Returns what is kept from now on, which is another plan where
 * another process was first; NULL: it cannot be kept (keeps is false from then on). */
const char *sb_cuda_choices_keep(sb_cuda_choices *choices, const char *operation, const char *plan);

/* From now on no choice is written to the file; `why` becomes `trouble`, for a note. Choices kept before are
 * still found. */
void sb_cuda_choices_stop(sb_cuda_choices *choices, const char *why);

#endif
