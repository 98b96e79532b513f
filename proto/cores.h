/* cores.h: how many processors this process may use. A machine may have more: a process is bound to some of
 * them (taskset, a container's cpuset), or its control group, or one above it, has a quota of their time. */
#ifndef SB_PROTO_CORES_H
#define SB_PROTO_CORES_H

/* The least of them, at least 1. A quota is rounded up: 1.5 processors' time keeps two threads busy. */
int sb_cores(void);

/* Of a process that is bound to `bound` processors, in a system whose /proc and /sys lie in a folder. */
int sb_cores_in(const char *root, int bound);

#endif
