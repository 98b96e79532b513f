/* cores.c: see cores.h. */
#include "proto/cores.h"

#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/group.h"

/* A quota and the period it is of, in microseconds. "max" and -1 are no quota. */
static void look(void *context, int version, const char *folder)
{
    int *cores = context;
    size_t quota, period;
    char text[64];
    const bool has = version == 1 ? sb_line_number(folder, "cpu.cfs_quota_us", "", &quota) &&
                                        sb_line_number(folder, "cpu.cfs_period_us", "", &period)
                                  : sb_line_text(folder, "cpu.max", "", text, sizeof text) &&
                                        sscanf(text, "%zu %zu", &quota, &period) == 2;
    if (!has || quota == 0 || period == 0)
        return;
    const size_t whole = quota / period + (quota % period > 0);
    if (whole < (size_t)*cores)
        *cores = (int)whole;
}

int sb_cores_in(const char *root, int bound)
{
    int cores = bound > 1 ? bound : 1;
    sb_group_walk(root, "cpu", look, &cores);
    return cores;
}

/* How many processors the kernel lets this thread run on. Its mask may be larger than cpu_set_t. */
static int bound_to(void)
{
    enum { MOST = 1 << 20 };
    for (int all = CPU_SETSIZE; all <= MOST; all *= 2) {
        const size_t bytes = CPU_ALLOC_SIZE(all);
        cpu_set_t *set = CPU_ALLOC(all);
        const int count = set && sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return count;
    }
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int sb_cores(void) { return sb_cores_in("", bound_to()); }
