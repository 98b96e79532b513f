/* unfinished.h: the names of files that are being written. Where a signal ends a program (program.h), they
 * are removed: what lies under the final names is whole, and nothing else is left. A SIGKILL leaves them. */
#ifndef SB_PROTO_UNFINISHED_H
#define SB_PROTO_UNFINISHED_H

/* From now on `path`, which need not be there yet, is removed where a signal ends the program. Returns a
 * number for its end; -1: too many files are being written, or the name is too long. */
int sb_unfinished_begin(const char *path);

/* The file is in its place, or removed. A number below 0 does nothing. */
void sb_unfinished_end(int number);

/* Removes all of them. For signal handlers. */
void sb_unfinished_remove(void);

#endif
