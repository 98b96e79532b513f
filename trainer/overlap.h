/* overlap.h: whether any samples of a batch show the same pixels. In most batches none do, and then the loss
 * need not look at pairs. */
#ifndef SB_TRAINER_OVERLAP_H
#define SB_TRAINER_OVERLAP_H

#include "kernels/share/overlap.h"

/* Of places [count]. sorted [count] is overwritten. It takes count log count steps, and beyond that one for
 * each two places of an image that share columns and no pixel. */
bool sb_any_overlap(const sb_square *places, int count, sb_square *sorted);

#endif
