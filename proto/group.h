/* group.h: the control groups that this process is in, of version 1 and 2, and what stands in their files.
 *
 * A limit of any group above it binds a process, too, so whoever asks is shown each folder from its own group
 * up to where groups are mounted. Inside a container that is the container's own, whatever its path is called
 * outside. What a file says is text of a kernel, or of whatever is mounted there: who reads a number of it
 * takes what is none for no limit. */
#ifndef SB_PROTO_GROUP_H
#define SB_PROTO_GROUP_H

#include <stdbool.h>
#include <stddef.h>

/* A group's folder. version: 1 or 2. */
typedef void (*sb_group_look)(void *context, int version, const char *folder);

/* Shows every folder of the groups that hold this process for a controller ("memory", "cpu"). root: of a
 * system whose /proc and /sys lie in a folder; "": of this one. Nothing is shown where there are none. */
void sb_group_walk(const char *root, const char *controller, sb_group_look look, void *context);

/* What follows `name` in the first line of folder/file that begins with it, in a group's folder or any other;
 * out[bytes] is cut there. False: there is none. */
bool sb_line_text(const char *folder, const char *file, const char *name, char *out, size_t bytes);

/* The same as a number. False: there is none, or it is no whole number from 0 to SIZE_MAX ("max"). */
bool sb_line_number(const char *folder, const char *file, const char *name, size_t *out);

#endif
