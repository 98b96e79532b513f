/* deaths.h: who has sent a SIGKILL: the kernel for lack of memory, or somebody. The kernel counts the
 * processes that it ends so, in /proc/vmstat for the whole machine: a count that has grown is a strong hint,
 * one that has not is a proof. */
#ifndef SB_SUPERVISOR_DEATHS_H
#define SB_SUPERVISOR_DEATHS_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t count; /* at the last look; -1: this kernel does not say */
} sb_deaths;

void sb_deaths_begin(sb_deaths *d);

/* "was killed ..." of a process that has just got a SIGKILL which was not ours. */
void sb_deaths_describe(sb_deaths *d, char *out, size_t bytes);

#endif
