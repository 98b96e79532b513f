/* path.h: a path as a user writes it. */
#ifndef SB_PROTO_PATH_H
#define SB_PROTO_PATH_H

#include <limits.h>

/* The path made whole: "~/" in front is the user's home (HOME), and a relative one lies in the folder that
 * the process works in. Links and ".." stay as they are. */
int sb_path_whole(const char *path, char out[PATH_MAX]);

#endif
