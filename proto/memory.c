/* memory.c: see memory.h. */
#include "proto/memory.h"

#include <stdio.h>

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
