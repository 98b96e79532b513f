/* deaths.h: who has sent a SIGKILL: the kernel for lack of memory, or somebody. The kernel counts the
 * processes that it ends so, in /proc/vmstat for the whole machine. Each that it has counted explains one
 * death here, since several may die before the first of them is looked at: a count that has grown is a strong
 * hint, one that has not is a proof. */
#ifndef SB_SUPERVISOR_DEATHS_H
#define SB_SUPERVISOR_DEATHS_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *proc;
    int64_t explained; /* of the kernel's count; -1: this kernel did not say */
} sb_deaths;

/* proc: where the kernel's files are, "/proc"; a string that lives on. */
void sb_deaths_begin(sb_deaths *d, const char *proc);

/* "was killed ..." of a process that has just got a SIGKILL which was not ours. Once for each. */
void sb_deaths_describe(sb_deaths *d, char *out, size_t bytes);

#endif
