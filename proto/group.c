/* group.c: see group.h. */
#include "proto/group.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool sb_line_text(const char *folder, const char *file_name, const char *name, char *out, size_t bytes)
{
    char path[PATH_MAX], line[256];
    bool found = false;
    snprintf(path, sizeof path, "%s/%s", folder, file_name);
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file))
        found = strncmp(line, name, strlen(name)) == 0;
    if (file)
        fclose(file);
    if (found)
        snprintf(out, bytes, "%s", line + strlen(name));
    return found;
}

bool sb_line_number(const char *folder, const char *file, const char *name, size_t *out)
{
    char text[64];
    if (!sb_line_text(folder, file, name, text, sizeof text))
        return false;
    const char *digits = text + strspn(text, " \t");
    errno = 0;
    const unsigned long long value = strtoull(digits, NULL, 10);
    if (!isdigit((unsigned char)*digits) || errno)
        return false;
    *out = (size_t)value;
    return true;
}

/* Is the name in a list "cpu,cpuacct"? */
static bool listed(const char *list, const char *name)
{
    const size_t length = strlen(name);
    for (; *list; list += *list == ',') {
        const size_t here = strcspn(list, ",");
        if (here == length && strncmp(list, name, length) == 0)
            return true;
        list += here;
    }
    return false;
}

/* The folder of a path below the mount, and those above it. */
static void climb(const char *root, const char *mount, char *path, int version, sb_group_look look,
                  void *context)
{
    for (;;) {
        char folder[3 * PATH_MAX];
        snprintf(folder, sizeof folder, "%s%s%s", root, mount, path);
        look(context, version, folder);
        char *last = strrchr(path, '/');
        if (!last)
            return;
        *last = '\0';
    }
}

/* By /proc/self/cgroup, whose lines are number:controllers:path; in version 2 there are no controllers. */
void sb_group_walk(const char *root, const char *controller, sb_group_look look, void *context)
{
    char name[PATH_MAX], line[PATH_MAX], mount[64];
    snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    FILE *file = fopen(name, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        const int version = controllers[1] == '\0' ? 2 : 1;
        if (version == 1 && !listed(controllers + 1, controller))
            continue;
        snprintf(mount, sizeof mount, version == 1 ? "/sys/fs/cgroup/%s" : "/sys/fs/cgroup", controller);
        climb(root, mount, path, version, look, context);
    }
    if (file)
        fclose(file);
}
