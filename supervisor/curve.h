/* curve.h: a series (series.h) as a curve of characters, in a rectangle of a frame: with braille dots, two in
 * a column and four in a row, or in ASCII with one `*` a column. */
#ifndef SB_SUPERVISOR_CURVE_H
#define SB_SUPERVISOR_CURVE_H

#include "supervisor/frame.h"
#include "supervisor/series.h"

/* Values that the curve is held against, as broken lines: the second with the longer pieces. NAN: there is
 * none. */
#define SB_CURVE_LEVELS 2

/* Draws the curve into rows `row` .. `row + rows - 2`, with the highest and the lowest value beside it where
 * there is room, and its first and last step below. Of a series without a value it is said that there is
 * none. */
void sb_curve_draw(sb_frame *frame, int row, int column, int rows, int columns, const sb_series *series,
                   const double levels[SB_CURVE_LEVELS]);

#endif
