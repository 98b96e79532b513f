/* log.h: what one of a run's programs says: all of it goes into RUN/log/PROGRAM.log, notes to the screen, and
 * the last lines are kept, since a reason must not be lost where the log cannot be written.
 *
 * A note is a line that begins with "smallbatch " (sb_note). Other lines come from libraries: they are shown
 * only where the program ends a run, and a log of SB_LOG_MAX bytes takes no more of them, so that a library
 * which repeats itself does not fill the disk. */
#ifndef SB_SUPERVISOR_LOG_H
#define SB_SUPERVISOR_LOG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/error.h"

#define SB_LOG_LINE (SB_ERROR_MAX + 64)
#define SB_LOG_MAX ((size_t)64 << 20)
#define SB_LOG_LINES 32 /* that are kept; of more at once only the log has the first */

typedef struct {
    char path[PATH_MAX];
    int fd;       /* stays open: the run directory may be renamed. -1: it cannot be written */
    bool refused; /* a write has failed, and that was said */
    bool full;    /* lines that are no notes are left out, and that was said */
    size_t bytes; /* of the file */
    char (*lines)[SB_LOG_LINE];
    long said, shown; /* lines so far, and how many of them were looked at for the screen */
} sb_log;

/* The end of a line that one process has begun. */
typedef struct {
    char text[SB_LOG_LINE];
    size_t bytes;
} sb_begun;

int sb_log_open(sb_log *log, const char *run_dir, const char *program);
void sb_log_close(sb_log *log);

/* Takes what can be read from `fd`, which does not block, but not much more than `most` bytes: one that never
 * ends to say something is not listened to without end. False at its end. */
bool sb_log_take(sb_log *log, sb_begun *begun, int fd, size_t most);

/* The process has ended: a line that it only began is one, too. */
void sb_log_end(sb_log *log, sb_begun *begun);

/* A line of the supervisor's own. */
void sb_log_add(sb_log *log, const char *line);

/* What a note says, without "smallbatch "; NULL: the line is none. */
const char *sb_log_note(const char *line);

/* The next note that the screen has not shown, without "smallbatch "; NULL: there is none. Valid until more
 * is taken. */
const char *sb_log_next_note(sb_log *log);

/* The same, but the last note stays: with it the reason begins why the program ended. */
const char *sb_log_earlier_note(sb_log *log);

/* The last lines, five at most, or NULL: number 0 is the oldest of those that the screen has not shown, or
 * else the last one. `cursor` is 0 at the first call. */
const char *sb_log_last_words(sb_log *log, int *cursor);

#endif
