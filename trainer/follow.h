/* follow.h: what a run shows on screen while it lives. */
#ifndef SB_TRAINER_FOLLOW_H
#define SB_TRAINER_FOLLOW_H

#define SB_LOGS 3 /* of trainer, augment and loaders, in this order */

/* Prints what the run's programs note (log/PROGRAM.log) behind the first `seen` bytes of each log (NULL: from
 * now on), and how far it is (status.h): a bar that rewrites itself on a terminal, a line every ten seconds
 * in a file. Until the run has ended or process `watch` (0: none) is gone. */
int sb_follow(const char *run_dir, int watch, const long *seen);

#endif
