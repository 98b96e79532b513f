/* watch.h: shows a run while it lives, and how it ended, and changes nothing of it. In a terminal that is its
 * whole window (draw.h), until `q` or Ctrl-C, across the run's end and its next start. Elsewhere, and where
 * the terminal cannot or is too small, lines: what the run does and its status line, whenever they have
 * changed, until the run has ended. */
#ifndef SB_SUPERVISOR_WATCH_H
#define SB_SUPERVISOR_WATCH_H

/* Returns the exit status, or -1. Of a window that was left it is 0. Of lines it says how the run ended: 0 if
 * it is finished, was stopped, or was never trained, SB_EXIT_ALARM if an alarm has stopped it, 1 if it has
 * failed, or ended without a word. A signal ends the program, after the terminal is as it was. */
int sb_watch_run(const char *run_dir);

#endif
