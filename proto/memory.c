/* memory.c: see memory.h. */
#include "proto/memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

/* How a version of control groups names its files. */
typedef struct {
    const char *mount, *limit, *used, *cache;
} groups;
static const groups versions[] = {
    { "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file " },
    { "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file " },
};

/* The number on the first line of a file that begins with `name`. 0: there is none. */
static size_t number_after(const char *folder, const char *file_name, const char *name)
{
    char path[PATH_MAX], line[256], format[64];
    unsigned long long value = 0;
    snprintf(path, sizeof path, "%s/%s", folder, file_name);
    snprintf(format, sizeof format, "%s%%llu", name);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, format, &value) == 1)
            break;
    if (file)
        fclose(file);
    return (size_t)value;
}

/* What a group leaves; SIZE_MAX: it has no limit. "max" is no number. Cache gives way. */
static size_t left_in(const char *folder, const groups *g)
{
    size_t limit = number_after(folder, g->limit, ""), used = number_after(folder, g->used, ""),
           cache = number_after(folder, "memory.stat", g->cache), held = used > cache ? used - cache : 0;
    return limit == 0 ? SIZE_MAX : limit > held ? limit - held : 1;
}

/* The least that a group and those above it leave. A container sees its own at the mount: a path that is not
 * there is none. */
static size_t left_on_path(const char *root, const groups *g, char *path)
{
    size_t least = SIZE_MAX;
    for (;;) {
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%s%s%s", root, g->mount, path);
        size_t left = left_in(folder, g);
        least = left < least ? left : least;
        char *last = strrchr(path, '/');
        if (!last)
            return least;
        *last = '\0';
    }
}

/* By /proc/self/cgroup, whose lines are number:controllers:path; in version 2 there are no controllers. */
static size_t left_in_groups(const char *root)
{
    char name[PATH_MAX], line[PATH_MAX];
    size_t least = SIZE_MAX;
    snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    FILE *file = fopen(name, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        const bool second = controllers[1] == '\0';
        if (!second && !strstr(controllers, "memory"))
            continue;
        size_t left = left_on_path(root, &versions[second], path);
        least = left < least ? left : least;
    }
    if (file)
        fclose(file);
    return least;
}

size_t sb_memory_available_in(const char *root)
{
    char proc[PATH_MAX];
    snprintf(proc, sizeof proc, "%s/proc", root);
    size_t available = number_after(proc, "meminfo", "MemAvailable: ") * 1024, left = left_in_groups(root);
    return left < available ? left : available;
}

size_t sb_memory_available(void) { return sb_memory_available_in(""); }

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
