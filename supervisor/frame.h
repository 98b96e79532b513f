/* frame.h: a page of characters, as wide and high as a window, and what is put on it: texts, bars, rules. It
 * knows no terminal.
 *
 * Every character takes one column, or two with an empty cell behind it. What takes none, moves a cursor or
 * is no character is left out or shown as `?`, so that a text from anywhere cannot do anything but be read.
 * What lies outside the page is not there. Beyond ASCII there is something only where `utf8` says so;
 * LC_CTYPE is then a locale in UTF-8 (the caller's setlocale), which knows how wide a character is. */
#ifndef SB_SUPERVISOR_FRAME_H
#define SB_SUPERVISOR_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <wchar.h>

#define SB_FRAME_MOST 1000 /* columns, and rows */

typedef enum { SB_INK_PLAIN, SB_INK_BOLD, SB_INK_DIM, SB_INK_ALERT } sb_ink;

typedef struct {
    wchar_t character; /* 0: the second column of the one before */
    sb_ink ink;
} sb_frame_cell;

typedef struct {
    int width, height;
    bool utf8;
    sb_frame_cell *cells; /* [height][width] */
} sb_frame;

/* Gives it this size, from 1 x 1 to SB_FRAME_MOST, and empties it. A zeroed struct is a frame to begin with.
 */
int sb_frame_resize(sb_frame *frame, int width, int height);
void sb_frame_free(sb_frame *frame);
void sb_frame_clear(sb_frame *frame);

/* One character. Outside the page: nothing. */
void sb_frame_set(sb_frame *frame, int row, int column, sb_ink ink, wchar_t character);

/* A text into `columns` columns from `column` on. A longer one is cut, and its last column says so. Returns
 * the columns that it takes. */
int sb_frame_put(sb_frame *frame, int row, int column, int columns, sb_ink ink, const char *text);

/* How many columns a text takes. */
int sb_frame_columns(const sb_frame *frame, const char *text);

/* A text over the page's whole width, broken at spaces, in `rows` rows at most, of which the last one is cut.
 * Returns the rows that it takes. */
int sb_frame_wrap(sb_frame *frame, int row, int rows, sb_ink ink, const char *text);

/* A bar of so many columns, filled from the left by a share, 0 .. 1. */
void sb_frame_bar(sb_frame *frame, int row, int column, int columns, double share);

/* A line with a title in it. */
void sb_frame_rule(sb_frame *frame, int row, int column, int columns, const char *title);

#endif
