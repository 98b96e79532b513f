/* deaths.c: see deaths.h. */
#include "supervisor/deaths.h"

#include <stdbool.h>
#include <stdio.h>

#include "proto/group.h"
#include "proto/memory.h"

/* -1: unknown. */
static int64_t count(const sb_deaths *d)
{
    size_t out;
    return sb_line_number(d->proc, "vmstat", "oom_kill ", &out) ? (int64_t)out : -1;
}

void sb_deaths_begin(sb_deaths *d, const char *proc)
{
    d->proc = proc;
    d->explained = count(d);
}

void sb_deaths_describe(sb_deaths *d, char *out, size_t bytes)
{
    const int64_t now = count(d);
    const bool known = d->explained >= 0 && now >= 0, kernel = known && now > d->explained;
    const sb_memory_limits m = sb_memory_look();
    if (kernel)
        d->explained++;
    if (known && !kernel)
        snprintf(out, bytes, "was killed (SIGKILL), not by the kernel for lack of memory");
    else
        snprintf(
            out, bytes,
            "was killed (SIGKILL)%s for lack of memory: %s allows %zu MiB, of which %zu may be taken now; "
            "lower loader.cache_mb, run.loaders, trainer.chunk or trainer.batch",
            kernel ? " by the kernel, most probably" : ", perhaps",
            m.grouped ? "the control group" : "the machine", m.limit >> 20, m.available >> 20);
}
