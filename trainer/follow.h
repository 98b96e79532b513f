/* follow.h: what a run shows on screen while it lives. */
#ifndef SB_TRAINER_FOLLOW_H
#define SB_TRAINER_FOLLOW_H

#define SB_LOGS 3 /* of trainer, augment and loaders, in this order */

/* Prints, until the run has ended or process `watch` (0: none) is gone, what the run's programs note and how
 * far the run is. Notes are read from log/PROGRAM.log, behind the first `seen` bytes of each log (NULL: from
 * now on). How far the run is (status.h) is a bar that rewrites itself on a terminal, and a line every ten
 * seconds in a file. */
int sb_follow(const char *run_dir, int watch, const long *seen);

#endif
