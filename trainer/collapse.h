/* collapse.h: whether training has collapsed: whether all embeddings have become one, which many losses do
 * not tell.
 *
 * Every trainer.look_every steps the first rows of view 0's embeddings are looked at: their deviation (1 when
 * they are spread evenly, 0 when all are one) and their effective rank (spread.h). SB_COLLAPSE_LOOKS looks in
 * a row at a deviation below SB_COLLAPSE_DEVIATION are a collapse: cosines between samples are then above
 * 0.99. Embeddings begin much alike behind a head without a last norm, but not so much. */
#ifndef SB_TRAINER_COLLAPSE_H
#define SB_TRAINER_COLLAPSE_H

#include <stdbool.h>

#define SB_COLLAPSE_ROWS 64 /* at most; fewer samples than 2 have no deviation */
#define SB_COLLAPSE_LOOKS 3
#define SB_COLLAPSE_DEVIATION 0.1

/* Of rows [rows, width], which are overwritten. 0; -1: it takes and frees memory for the singular values. */
int sb_collapse_measure(float *rows, int count, int width, double *deviation, double *rank);

typedef struct {
    int low; /* looks in a row below the bound */
} sb_collapse;

/* Takes a look. Whether it makes it a collapse, which is so once until one is over. */
bool sb_collapse_look(sb_collapse *collapse, double deviation);

#endif
