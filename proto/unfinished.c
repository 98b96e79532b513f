/* unfinished.c: see unfinished.h. A name stands in its place before `used` says so, and a handler, on
 * whatever thread it runs, reads only names that are used. */
#include "proto/unfinished.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/error.h"

enum { FREE, TAKEN, USED };

#define FILES_MAX 16

static struct {
    atomic_int state;
    char path[PATH_MAX];
} files[FILES_MAX];

int sb_unfinished_begin(const char *path)
{
    for (int i = 0; i < FILES_MAX; i++) {
        int expected = FREE;
        if (!atomic_compare_exchange_strong(&files[i].state, &expected, TAKEN))
            continue;
        const int length = snprintf(files[i].path, sizeof files[i].path, "%s", path);
        if (length < 0 || length >= (int)sizeof files[i].path) {
            atomic_store(&files[i].state, FREE);
            return sb_fail("%s: the path is too long", path);
        }
        atomic_store(&files[i].state, USED); /* partner: the load in sb_unfinished_remove */
        return i;
    }
    return sb_fail("%s: %d files are being written at once", path, FILES_MAX);
}

void sb_unfinished_end(int number)
{
    if (number >= 0)
        atomic_store(&files[number].state, FREE);
}

void sb_unfinished_remove(void)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (atomic_load(&files[i].state) == USED) /* partner: the last store in sb_unfinished_begin */
            unlink(files[i].path);
}
