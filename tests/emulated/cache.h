/* cache.h: a folder of the test's own in place of the user's cache, for what the device keeps there. */
#ifndef SB_TESTS_CACHE_H
#define SB_TESTS_CACHE_H

#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char cache_folder[] = "/dev/shm/test-cache-XXXXXX"; /* where syncing costs nothing */

static inline void cache_use(void)
{
    if (setenv("XDG_CACHE_HOME", cache_folder, 1) != 0)
        abort();
}

static inline void cache_make(void)
{
    if (!mkdtemp(cache_folder))
        abort();
    cache_use();
}

/* The path of the one file in it; "": there is none. */
static inline void cache_file(char path[PATH_MAX])
{
    char pattern[PATH_MAX];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/smallbatch/*.json", cache_folder);
    path[0] = '\0';
    if (glob(pattern, 0, NULL, &found) == 0)
        snprintf(path, PATH_MAX, "%s", found.gl_pathv[0]);
    globfree(&found);
}

/* Forgets what was kept. */
static inline void cache_empty(void)
{
    char path[PATH_MAX];
    cache_file(path);
    unlink(path);
}

static inline int cache_remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info, (void)type, (void)place;
    return remove(path);
}

static inline void cache_remove(void) { nftw(cache_folder, cache_remove_one, 8, FTW_DEPTH | FTW_PHYS); }

#endif
