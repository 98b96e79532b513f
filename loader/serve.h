/* serve.h: a loader of a run.
 *
 * It owns nothing: it says hello to augment, decodes each tile it is told to straight into the slot it is
 * told, and can join, leave or die at any moment. A lost message does no harm, because an idle loader asks
 * again. A signal that kills it while it decodes is written into the slot, so that a file on which the
 * decoder crashes or hangs is told from a killed process. What it cannot decode it reports; only data that
 * are away as a whole it waits for. */
#ifndef SB_LOADER_SERVE_H
#define SB_LOADER_SERVE_H

/* Serves the run until it is asked to stop: 0; -1. */
int sb_serve(const char *run_dir);

#endif
