/* screen.h: what a run shows while it lives: notes, line by line, and under them how far it is. On a terminal
 * that is one line which rewrites itself and never is wider than the window; elsewhere, and where TERM says
 * that the terminal knows no escape codes, a line now and then. Nothing depends on what happens to the
 * output: where nobody reads it any more (`| head`), or not now (Ctrl-S, a pager), the run goes on, and what
 * there is no room for is not shown. */
#ifndef SB_SUPERVISOR_SCREEN_H
#define SB_SUPERVISOR_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/status.h"

#define SB_SCREEN_LINE 512

typedef struct {
    bool terminal;    /* that knows escape codes */
    bool shown;       /* the line is there */
    int patience_ms;  /* for room, before a text is dropped; 0 but at a run's end */
    uint64_t printed; /* sb_now() of the last line where it is none */
} sb_screen;

void sb_screen_open(sb_screen *screen);

/* A line of text, to standard output; error: to standard error. */
void sb_screen_say(sb_screen *screen, bool error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* last: it is the run's last, and shown whatever the time. */
void sb_screen_progress(sb_screen *screen, const sb_status *status, bool last);

/* Ends the line that rewrites itself. */
void sb_screen_close(sb_screen *screen);

/* The line for a window of so many columns: a bar and all of sb_status_line, or as many of its parts, from
 * the front, as there is room for. */
void sb_screen_fit(const sb_status *status, int columns, char out[SB_SCREEN_LINE]);

#endif
