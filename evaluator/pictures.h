/* pictures.h: what people would rather look at than read, in the run directory's pictures/: each PNG is
 * renamed into place.
 *
 * contact.png  the first samples of the run, one a row: the tile, then its views exactly as the network
 *              sees them
 * mosaic.png   held-out queries, one a row: a distorted view, then its nearest clean tiles, the right one
 *              framed green, wrong ones red
 * curves.png   loss, images/s and the evaluations' measures over the steps (drawn by gnuplot) */
#ifndef SB_EVALUATOR_PICTURES_H
#define SB_EVALUATOR_PICTURES_H

#include <stdbool.h>
#include <stdio.h>

#include "evaluator/evaluate.h"

/* -1 if they cannot be written. */
int sb_pictures_check(const char *run_dir);

/* All three, from the evaluation's last measurement. */
int sb_pictures(const sb_evaluation *evaluation);

/* contact.png alone, which needs no weights; whether it is there. */
bool sb_picture_has_contact(const char *run_dir);
int sb_picture_contact(const char *run_dir);

/* pictures/curves.png from metrics.jsonl and evaluation.jsonl (curves.c). Without gnuplot: a note. */
int sb_picture_curves(const char *run_dir);

/* What that is drawn from, as gnuplot's blocks: $steps has rows of step, loss, images/s; $evaluations of
 * step, then the view retrieval of the rows trained, untrained, pixels, colour, chance. A line of a log that
 * lacks one of them gives no row. `given` is that of the last row "given", or below 0. */
int sb_curves_data(FILE *plot, const char *run_dir);

#endif
