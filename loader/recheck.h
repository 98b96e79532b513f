/* recheck.h: tries the files that a run has in quarantine again. */
#ifndef SB_LOADER_RECHECK_H
#define SB_LOADER_RECHECK_H

#include <stdbool.h>

#include "loader/keys.h"

typedef struct {
    const char *name; /* as quarantine.jsonl has it */
    int page;
    bool back;          /* it is well, and out of quarantine.jsonl once all were tried */
    const char *reason; /* why it is not; else "" */
} sb_rechecked;

/* Reads every pixel of each image that stands in quarantine.jsonl, whole or with a tile, in a process of its
 * own, and takes the lines of those that are what they were when they were indexed, and whole, out of it: all
 * at once. `say` is told of each. -1, too, while the run is live; nothing is changed then. */
int sb_recheck(const char *run_dir, const sb_data_keys *data, const sb_loader_keys *keys,
               void (*say)(void *context, const sb_rechecked *image), void *context);

#endif
