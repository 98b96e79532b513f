/* known.h: which runs there are on this machine, so that a command without a run finds the one that was used
 * last, wherever it lies: trained, or named to a command that reads its weights. Their paths stand in
 * smallbatch/runs in the user's folder for states (XDG_STATE_HOME, or ~/.local/state); without such a folder
 * only those in runs/ are found. */
#ifndef SB_SUPERVISOR_KNOWN_H
#define SB_SUPERVISOR_KNOWN_H

#include <limits.h>

/* Remembers a run as used now. Nothing depends on it: where it cannot be written, nothing is remembered. */
void sb_known_add(const char *run_dir);

/* The run that was used last, those that live first. folder: where runs lie by themselves. */
int sb_known_latest(const char *folder, char out[PATH_MAX]);

#endif
