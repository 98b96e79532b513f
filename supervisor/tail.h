/* tail.h: a file of lines that grows: what was appended since the last look, line by line.
 *
 * A file that is not there counts as empty. One that was replaced by another, or was cut, is read anew. A
 * line that its writer has only begun waits until it is whole. One of more than SB_TAIL_LINE bytes is passed
 * over.
 *
 * Limit: a file that was overwritten in place, and is as long as before, is not told from one that has grown.
 * Writers here append, or replace it by another (rundir.h). */
#ifndef SB_SUPERVISOR_TAIL_H
#define SB_SUPERVISOR_TAIL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SB_TAIL_LINE (64 << 10)

typedef struct {
    char path[PATH_MAX];
    size_t most; /* bytes before its end with which reading anew begins; 0: the whole file */
    bool known;  /* there was a file: */
    dev_t device;
    ino_t inode;
    off_t at;     /* so far it was read */
    size_t bytes; /* of the line that is not whole yet */
    bool passes;  /* over the rest of a line */
    char line[SB_TAIL_LINE + 1];
} sb_tail;

/* What a look finds; both get `context`. anew: what was read before counts no longer. on_line: a line without
 * its '\n', with a 0 byte behind it (and perhaps others in it). */
typedef struct {
    void (*anew)(void *context);
    void (*on_line)(void *context, char *line, size_t bytes);
    void *context;
} sb_tail_taker;

/* Of RUN/NAME. Reads nothing yet. */
int sb_tail_open(sb_tail *tail, const char *run_dir, const char *name, size_t most);

/* Reads at most about `budget` bytes. 1: there is more; 0: it was read to its end; -1: it cannot be read. */
int sb_tail_look(sb_tail *tail, size_t budget, const sb_tail_taker *taker);

#endif
