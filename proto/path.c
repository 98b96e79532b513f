/* path.c: see path.h. */
#include "proto/path.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"

int sb_path_whole(const char *path, char out[PATH_MAX])
{
    char folder[PATH_MAX] = "";
    const bool home = strncmp(path, "~/", 2) == 0;
    if (home) {
        const char *where = getenv("HOME");
        if (!where || where[0] != '/')
            return sb_fail("HOME names no folder for `~`: write the path whole");
        snprintf(folder, sizeof folder, "%s", where);
    } else if (path[0] != '/' && !getcwd(folder, sizeof folder)) {
        return sb_fail_errno("the folder that this is run in");
    }
    const char *rest = home ? path + 1 : path;
    const char *between = path[0] == '/' || home ? "" : "/";
    return snprintf(out, PATH_MAX, "%s%s%s", folder, between, rest) < PATH_MAX
               ? 0
               : sb_fail("%s: the path is too long", path);
}
