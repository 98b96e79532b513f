/* window.h: a terminal's window, in which a page of characters (frame.h) is shown by curses. The terminal is
 * as it was once it is closed. One at a time. */
#ifndef SB_SUPERVISOR_WINDOW_H
#define SB_SUPERVISOR_WINDOW_H

#include <stdbool.h>

#include "supervisor/frame.h"

/* Takes the whole of the terminal that standard input and output are. False, and nothing is changed: they are
 * none, or one that cannot be written to at any place (TERM), or smaller than this. */
bool sb_window_open(int least_width, int least_height);
void sb_window_close(void);

/* Whether characters beyond ASCII can be shown. */
bool sb_window_utf8(void);

/* Its size now. */
void sb_window_size(int *width, int *height);

/* Shows the frame, at its upper left. anew: whatever the terminal may show. */
void sb_window_show(const sb_frame *frame, bool anew);

/* The next key that was pressed; -1: none. */
int sb_window_key(void);

#endif
