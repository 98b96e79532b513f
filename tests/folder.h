/* folder.h: for cmocka: a folder of a test program's own under /tmp, which is removed with all that is in it.
 */
#ifndef SB_TESTS_FOLDER_H
#define SB_TESTS_FOLDER_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static char folder[] = "/tmp/smallbatch-test-XXXXXX";

static inline int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    (void)state;
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

#endif
