/* memory.h: memory: how much there is, and taking it.
 *
 * Whoever takes memory says what for, so that the error names it: "out of memory: 1234 bytes for the rows of
 * the index". What is taken here is given back with free. */
#ifndef SB_PROTO_MEMORY_H
#define SB_PROTO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* How much of the machine's memory this process may use: what the kernel calls available, or what the limits
 * of its control groups and of those above them leave (version 1 and 2), if that is less. It is an estimate,
 * because other processes take memory, too. */
typedef struct {
    size_t available; /* bytes that may still be taken. 0: unknown */
    size_t limit;     /* bytes that may be used in all, by this process and others. 0: unknown */
    bool grouped;     /* a control group leaves less than the machine */
} sb_memory_limits;

sb_memory_limits sb_memory_look(void);

/* Its `available`. */
size_t sb_memory_available(void);

/* The same of a system whose /proc and /sys lie in a folder. */
sb_memory_limits sb_memory_look_in(const char *root);

/* `count` elements of `bytes` each, all zero; at least one byte, so that NULL always means a failure. NULL
 * with sb_error set: there is no memory, or the product does not fit a size_t. */
void *sb_zeroed(size_t count, size_t bytes, const char *what);

/* As sb_zeroed, but what `old` held stays and the rest is not cleared. `old` is NULL, or memory that free
 * would take; it is moved, or left as it was on a failure. */
void *sb_grown(void *old, size_t count, size_t bytes, const char *what);

#endif
