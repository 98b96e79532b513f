/* memory.c: see memory.h. */
#include "proto/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/error.h"

#define CGROUP "/sys/fs/cgroup/" /* a container sees its own group here */

/* The number on the first line of a file that begins with `name`. 0: there is none. */
static size_t number_after(const char *path, const char *name)
{
    char line[256], format[64];
    unsigned long long value = 0;
    snprintf(format, sizeof format, "%s%%llu", name);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, format, &value) == 1)
            break;
    if (file)
        fclose(file);
    return (size_t)value;
}

size_t sb_memory_available(void)
{
    size_t available = number_after("/proc/meminfo", "MemAvailable: ") * 1024;
    size_t limit = number_after(CGROUP "memory.max", ""); /* "max" is no number */
    size_t used = number_after(CGROUP "memory.current", ""),
           cache = number_after(CGROUP "memory.stat", "inactive_file ");
    if (limit == 0)
        return available;
    size_t held = used > cache ? used - cache : 0, left = limit > held ? limit - held : 1;
    return left < available ? left : available;
}

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
