/* draw.h: an overview of a run (overview.h) on a page of characters (frame.h), of whatever size that is.
 *
 * From top to bottom, as far as there is room: the run and what it does; a bar; step, rate and the like; what
 * went wrong; curves beside each other; stages with the queues between them; messages; what leaves. A small
 * page has less of it, and texts are cut. */
#ifndef SB_SUPERVISOR_DRAW_H
#define SB_SUPERVISOR_DRAW_H

#include "supervisor/frame.h"
#include "supervisor/overview.h"

#define SB_DRAW_WIDTH 20 /* the least that says something */
#define SB_DRAW_HEIGHT 5

void sb_draw(sb_frame *frame, const sb_overview *overview);

#endif
