/* progress.h: how far something is that takes long: a line on standard error that stays where that is a
 * terminal, and a note now and then where it is not. Nothing is shown of what is done within half a second.
 */
#ifndef SB_PROTO_PROGRESS_H
#define SB_PROTO_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *what; /* "looking at files", a string that lives on */
    bool noted;       /* notes are wanted where there is no terminal */
    bool terminal, shown;
    uint64_t began, last; /* ns */
} sb_progress;

sb_progress sb_progress_begin(const char *what, bool noted);

/* So many of all are done. */
void sb_progress_show(sb_progress *progress, uint64_t done, uint64_t all);

/* Takes the line off the terminal: before anything else is said. */
void sb_progress_end(sb_progress *progress);

#endif
