/* follow.h: what a run shows on screen while it lives. */
#ifndef SB_TRAINER_FOLLOW_H
#define SB_TRAINER_FOLLOW_H

/* Prints what the run's programs note from now on (log/PROGRAM.log), and how far it is (status.h): a bar that rewrites itself on a terminal, a
 * line every ten seconds in a file. Until the run has ended or process `watch` (0: none) is gone. */
int sb_follow(const char *run_dir, int watch);

#endif
