/* restarts.c: see restarts.h. */
#include "supervisor/restarts.h"

#define FIRST_S 0.2
#define LONGEST_S 5

double sb_restarts_died(sb_restarts *r, int64_t progress)
{
    if (r->deaths == 0 || progress > r->progress)
        *r = (sb_restarts){ .progress = progress, .pause_s = FIRST_S / 2 };
    r->deaths++;
    r->pause_s = 2 * r->pause_s < LONGEST_S ? 2 * r->pause_s : LONGEST_S;
    return r->deaths < SB_RESTARTS_MAX ? r->pause_s : -1;
}
