/* log.c: see log.h. */
#include "supervisor/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/memory.h"
#include "proto/rundir.h"

#define NOTE "smallbatch " /* what sb_note begins a line with */
#define LAST_WORDS 5

int sb_log_open(sb_log *l, const char *run_dir, const char *program)
{
    *l = (sb_log){ .fd = -1 };
    if (sb_rundir_path(l->path, run_dir, "log/%s.log", program) != 0)
        return -1;
    l->lines = sb_zeroed(SB_LOG_LINES, sizeof *l->lines, "the last lines of a log");
    if (!l->lines)
        return -1;
    struct stat info;
    l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (l->fd < 0 || fstat(l->fd, &info) != 0)
        return sb_fail_errno("opening %s", l->path);
    l->bytes = (size_t)info.st_size;
    return 0;
}

void sb_log_close(sb_log *l)
{
    if (l->fd >= 0)
        close(l->fd);
    free(l->lines);
}

static char *line_of(const sb_log *l, long number) { return l->lines[number % SB_LOG_LINES]; }

static void keep(sb_log *l, const char *line)
{
    snprintf(line_of(l, l->said), SB_LOG_LINE, "%s", line);
    l->said++;
    if (l->said - l->shown > SB_LOG_LINES)
        l->shown = l->said - SB_LOG_LINES;
}

const char *sb_log_note(const char *line)
{
    return strncmp(line, NOTE, strlen(NOTE)) == 0 ? line + strlen(NOTE) : NULL;
}

static void write_line(sb_log *l, const char *line, size_t bytes)
{
    char why[SB_LOG_LINE];
    errno = ENOSPC; /* where it writes less */
    if (write(l->fd, line, bytes) == (ssize_t)bytes) {
        l->bytes += bytes;
    } else if (!l->refused) {
        snprintf(why, sizeof why,
                 NOTE "supervisor: %.1000s: %.200s: notes that are missing there are shown here alone",
                 l->path, strerror(errno));
        keep(l, why);
        l->refused = true;
    }
}

/* Into the file, and kept. What is wrong with the file is said once, as a note. */
static void add(sb_log *l, char *line, size_t bytes)
{
    static const char full[] = NOTE "supervisor: this log is long: from here on it has notes alone\n";
    line[bytes] = '\n';
    if (l->bytes < SB_LOG_MAX || sb_log_note(line)) {
        write_line(l, line, bytes + 1);
    } else if (!l->full) {
        write_line(l, full, strlen(full));
        l->full = true;
    }
    line[bytes] = '\0';
    sb_text_clean(line);
    keep(l, line);
}

void sb_log_add(sb_log *l, const char *text)
{
    char line[SB_LOG_LINE + 1];
    snprintf(line, SB_LOG_LINE, "%s", text);
    add(l, line, strlen(line));
}

bool sb_log_take(sb_log *l, sb_begun *b, int fd, size_t most)
{
    for (size_t taken = 0; taken < most;) {
        const ssize_t got = read(fd, b->text + b->bytes, sizeof b->text - 1 - b->bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0;
        b->bytes += (size_t)got;
        taken += (size_t)got;
        char *line = b->text, *end;
        while ((end = memchr(line, '\n', b->bytes))) {
            add(l, line, (size_t)(end - line));
            b->bytes -= (size_t)(end + 1 - line);
            line = end + 1;
        }
        memmove(b->text, line, b->bytes);
        if (b->bytes == sizeof b->text - 1) { /* longer than any line of ours */
            add(l, b->text, b->bytes);
            b->bytes = 0;
        }
    }
    return true;
}

void sb_log_end(sb_log *l, sb_begun *b)
{
    if (b->bytes > 0)
        add(l, b->text, b->bytes);
    b->bytes = 0;
}

static const char *next_note(sb_log *l, long before)
{
    while (l->shown < before) {
        const char *note = sb_log_note(line_of(l, l->shown++));
        if (note)
            return note;
    }
    return NULL;
}

const char *sb_log_next_note(sb_log *l) { return next_note(l, l->said); }

const char *sb_log_earlier_note(sb_log *l)
{
    long last = l->said - 1;
    while (last > l->shown && !sb_log_note(line_of(l, last)))
        last--;
    return next_note(l, last);
}

const char *sb_log_last_words(sb_log *l, int *cursor)
{
    long first = l->shown < l->said ? l->shown : l->said - 1;
    if (first < l->said - LAST_WORDS)
        first = l->said - LAST_WORDS;
    const long number = first + (*cursor)++;
    return number >= 0 && number < l->said ? line_of(l, number) : NULL;
}
