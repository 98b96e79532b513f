/* still.h: how long a process has made no progress, in its own time: what it ran, slept or was stopped. The
 * time in which others kept it from the processor is not its own, so that nobody is taken for hung because a
 * machine is busy. Neither is the time in which the one who looks did not get to look: then the whole run may
 * have been stopped. */
#ifndef SB_PROTO_STILL_H
#define SB_PROTO_STILL_H

#include "proto/process.h"

typedef struct {
    uint64_t ns; /* without progress: who sees progress sets it to 0 */
    uint64_t looked_at;
    sb_process_time time; /* at that look */
} sb_still;

/* Counts from now on. */
void sb_still_begin(sb_still *s);

/* Adds the process's own time since the last look, where that is `often` ns ago. */
void sb_still_look(sb_still *s, pid_t pid, uint64_t often);

#endif
