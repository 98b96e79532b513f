/* memory.h: memory: how much there is, and taking it.
 *
 * Whoever takes memory says what for, so that the error names it: "out of memory: 1234 bytes for the rows of
 * the index". What is taken here is given back with free. */
#ifndef SB_PROTO_MEMORY_H
#define SB_PROTO_MEMORY_H

#include <stddef.h>

/* The bytes that may still be taken: what the kernel calls available, or what the limits of this process'
 * control groups and of those above them leave (version 1 and 2), if that is less. 0: unknown. It is an
 * estimate, because other processes take memory, too. */
size_t sb_memory_available(void);

/* The same of a system whose /proc and /sys lie in a folder. */
size_t sb_memory_available_in(const char *root);

/* `count` elements of `bytes` each, all zero; at least one byte, so that NULL always means a failure. NULL
 * with sb_error set: there is no memory, or the product does not fit a size_t. */
void *sb_zeroed(size_t count, size_t bytes, const char *what);

/* As sb_zeroed, but what `old` held stays and the rest is not cleared. `old` is NULL, or memory that free
 * would take; it is moved, or left as it was on a failure. */
void *sb_grown(void *old, size_t count, size_t bytes, const char *what);

#endif
