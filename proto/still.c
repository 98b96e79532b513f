/* still.c: see still.h. */
#include "proto/still.h"

/* Who looks does so far more often: it was stopped itself, and the whole run may have been. */
#define STALL_NS 1000000000ull

void sb_still_begin(sb_still *s) { *s = (sb_still){ .looked_at = sb_now() }; }

void sb_still_look(sb_still *s, pid_t pid, uint64_t often)
{
    const uint64_t now = sb_now(), passed = now - s->looked_at;
    uint64_t kept = 0;
    sb_process_time time;
    if (passed < often)
        return;
    if (sb_process_times(pid, &time)) {
        const bool waits = time.ready &&
                           time.ran == s->time.ran; /* what it was kept is only known afterwards */
        kept = waits ? passed : time.kept - s->time.kept;
        s->time = time;
    }
    s->ns += kept < passed && passed <= STALL_NS ? passed - kept : 0;
    s->looked_at = now;
}
