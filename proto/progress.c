/* progress.c: see progress.h. */
#include "proto/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/process.h"

#define SHOWN_NS UINT64_C(500000000)   /* between two lines on a terminal */
#define NOTED_NS UINT64_C(30000000000) /* between two notes */

sb_progress sb_progress_begin(const char *what, bool noted)
{
    const uint64_t now = sb_now();
    return (sb_progress){
        .what = what, .noted = noted, .terminal = isatty(STDERR_FILENO), .began = now, .last = now
    };
}

void sb_progress_show(sb_progress *p, uint64_t done, uint64_t all)
{
    const uint64_t now = sb_now();
    const double rate = (double)done / ((double)(now - p->began + 1) * 1e-9);
    if (now - p->last < (p->terminal ? SHOWN_NS : NOTED_NS))
        return;
    p->last = now;
    if (p->terminal)
        p->shown = fprintf(stderr, "\r%s: %" PRIu64 " of %" PRIu64 ", %.1f/s \033[K", p->what, done, all,
                           rate) > 0;
    else if (p->noted)
        sb_note("%s: %" PRIu64 " of %" PRIu64 ", %.1f/s", p->what, done, all, rate);
}

void sb_progress_end(sb_progress *p)
{
    if (p->shown)
        fprintf(stderr, "\r\033[K");
    p->shown = false;
}
