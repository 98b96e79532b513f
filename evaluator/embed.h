/* embed.h: features of a data set: FILE.npy (f32 [tiles, width], the backbone's output) and FILE.csv (path,
 * page, left, top, side and label of each row). Tiles lie on a grid over the whole image; each is resized to
 * the view's size and nothing else is done to it. */
#ifndef SB_EVALUATOR_EMBED_H
#define SB_EVALUATOR_EMBED_H

#include <stdbool.h>

/* The run's newest checkpoint (best: its best one) with its running statistics (as the exported backbone),
 * its configuration with `assignments` over it. Tiles that cannot be decoded are left out with a note. Both
 * files are renamed into place when they are whole. Refused before anything is computed: an output that is a
 * file of the run or of the data set, and a FILE.csv that is there and that this function did not write. */
int sb_embed(const char *run_dir, bool best, const char *data, char *const *assignments, int assignment_count,
             int threads, const char *output);

#endif
