/* follow.c: see follow.h. */
#include "trainer/follow.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/process.h"
#include "proto/rundir.h"
#include "trainer/status.h"

#define BAR 24
#define POLL_US 500000
#define PLAIN_NS 10000000000ull
#define NOTE "smallbatch " /* what sb_note begins a line with; libraries write into the logs, too */

typedef struct {
    char path[PATH_MAX];
    long seen; /* bytes that were looked at */
} log_file;

typedef struct {
    log_file logs[SB_LOGS];
    bool terminal, shown; /* shown: a bar stands on the terminal's last line */
} screen;

static int open_logs(screen *s, const char *run_dir, const long *seen)
{
    const char *const programs[SB_LOGS] = { "trainer", "augment", "loader" };
    for (int i = 0; i < SB_LOGS; i++) {
        struct stat info;
        if (sb_rundir_path(s->logs[i].path, run_dir, "log/%s.log", programs[i]) != 0)
            return -1;
        s->logs[i].seen = seen ? seen[i] : stat(s->logs[i].path, &info) == 0 ? (long)info.st_size : 0;
    }
    return 0;
}

/* Whole new lines that are notes. A log that cannot be read has none: it is there to be looked at, the run
 * does not depend on it. */
static void print_notes(screen *s, log_file *log)
{
    char line[SB_ERROR_MAX + 64];
    FILE *file = fopen(log->path, "re");
    if (!file)
        return;
    bool at = fseek(file, log->seen, SEEK_SET) == 0;
    while (at && fgets(line, sizeof line, file) && strchr(line, '\n')) {
        log->seen = ftell(file);
        if (strncmp(line, NOTE, strlen(NOTE)) == 0)
            printf("%s%s", s->terminal ? "\r\033[K" : "", line + strlen(NOTE));
    }
    fflush(stdout);
    fclose(file);
}

static int print_status(screen *s, const sb_status *status)
{
    char line[256];
    if (sb_status_line(status, line, sizeof line) != 0)
        return -1;
    if (s->terminal) {
        int full = status->steps > 0 ? (int)((double)status->step / (double)status->steps * BAR) : 0;
        printf("\r[");
        for (int i = 0; i < BAR; i++)
            putchar(i < full ? '#' : '.');
        printf("] %s\033[K", line);
    } else {
        printf("%s\n", line);
    }
    fflush(stdout);
    s->shown = true;
    return 0;
}

int sb_follow(const char *run_dir, int watch, const long *seen)
{
    uint64_t printed = 0;
    screen s = { .terminal = isatty(STDOUT_FILENO) };
    if (sb_stop_install() != 0 || open_logs(&s, run_dir, seen) != 0)
        return -1;
    for (bool over = false; !over;) {
        bool stop = sb_stop_requested(); /* before the look: what was said until then is still shown */
        sb_status status;
        bool known = sb_status_read(run_dir, &status) == 0,
             ended = known && strcmp(status.phase, "training") != 0;
        over = stop || ended || (watch != 0 && kill(watch, 0) != 0 && errno != EPERM);
        bool failed = ended &&
                      strcmp(status.phase, "failed") == 0; /* the supervisor says what was said last */
        for (int i = 0; !failed && i < SB_LOGS; i++)
            print_notes(&s, &s.logs[i]);
        if (known && status.step > 0 && (s.terminal || ended || sb_now() - printed >= PLAIN_NS)) {
            if (print_status(&s, &status) != 0)
                return -1;
            printed = sb_now();
        }
        if (!over)
            usleep(POLL_US);
    }
    if (s.terminal && s.shown)
        printf("\n");
    return 0;
}
