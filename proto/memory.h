/* memory.h: how much memory this process may still take. */
#ifndef SB_PROTO_MEMORY_H
#define SB_PROTO_MEMORY_H

#include <stddef.h>

/* Bytes: what the kernel calls available, or what the container's limit (cgroup 2) leaves if that is less. 0:
 * not to be known. An estimate: others take memory, too. */
size_t sb_memory_available(void);

#endif
