/* memory.c: see memory.h. */
#include "proto/memory.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/error.h"
#include "proto/group.h"

/* How a version of control groups names its files. A group beyond memory.high is not killed, but slowed down
 * until it hardly moves. */
static const struct {
    const char *limits[2], *used, *cache[2];
} names[] = {
    [1] = { { "memory.limit_in_bytes" },
            "memory.usage_in_bytes",
            { "total_inactive_file ", "total_active_file " } },
    [2] = { { "memory.max", "memory.high" }, "memory.current", { "inactive_file ", "active_file " } },
};

/* What a group leaves. Cache gives way. */
static void look(void *context, int version, const char *folder)
{
    sb_memory_limits *m = context;
    size_t limit = SIZE_MAX, number, used = 0, cache;
    for (int i = 0; i < 2 && names[version].limits[i]; i++)
        if (sb_line_number(folder, names[version].limits[i], "", &number) && number > 0 && number < limit)
            limit = number;
    if (limit == SIZE_MAX)
        return;
    sb_line_number(folder, names[version].used, "", &used);
    for (int i = 0; i < 2; i++)
        if (sb_line_number(folder, "memory.stat", names[version].cache[i], &cache))
            used -= cache < used ? cache : used;
    const size_t left = limit > used ? limit - used : 1;
    if (limit < m->limit)
        m->limit = limit;
    if (left < m->available) {
        m->available = left;
        m->grouped = true;
    }
}

sb_memory_limits sb_memory_look_in(const char *root)
{
    char proc[PATH_MAX];
    sb_memory_limits m = { 0 };
    size_t kib = 0;
    snprintf(proc, sizeof proc, "%s/proc", root);
    if (sb_line_number(proc, "meminfo", "MemAvailable:", &kib))
        m.available = kib * 1024;
    if (sb_line_number(proc, "meminfo", "MemTotal:", &kib))
        m.limit = kib * 1024;
    sb_group_walk(root, "memory", look, &m);
    return m;
}

sb_memory_limits sb_memory_look(void) { return sb_memory_look_in(""); }

size_t sb_memory_available(void) { return sb_memory_look().available; }

/* At least 1; SIZE_MAX, which nobody has, where the product is more than that. */
static size_t bytes_of(size_t count, size_t bytes)
{
    size_t all;
    if (__builtin_mul_overflow(count, bytes, &all))
        return SIZE_MAX;
    return all > 0 ? all : 1;
}

static void *named(void *memory, size_t bytes, const char *what)
{
    if (!memory)
        sb_fail("out of memory: %zu bytes for %s", bytes, what);
    return memory;
}

void *sb_zeroed(size_t count, size_t bytes, const char *what)
{
    size_t all = bytes_of(count, bytes);
    return named(calloc(1, all), all, what);
}

void *sb_grown(void *old, size_t count, size_t bytes, const char *what)
{
    size_t all = bytes_of(count, bytes);
    return named(realloc(old, all), all, what);
}
