/* process.c: see process.h. */
#include "proto/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "proto/error.h"

/* Field 22 of /proc/PID/stat; the command's name before it may hold spaces and parentheses. */
static int start_time(pid_t pid, uint64_t *start)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return sb_fail_errno("%s", path);
    size_t got = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[got] = '\0';
    char *field = strrchr(line, ')');
    for (int number = 2; field && number < 22; number++)
        field = strchr(field + 1, ' ');
    char *end;
    errno = 0;
    *start = field ? strtoull(field + 1, &end, 10) : 0;
    if (!field || errno || *end != ' ')
        return sb_fail("%s: no start time in it", path);
    return 0;
}

int sb_process_self(sb_process *out)
{
    out->pid = getpid();
    return start_time(out->pid, &out->start);
}

int sb_process_open(const sb_process *process)
{
    if (process->pid <= 0)
        return sb_fail("%d is no process id", (int)process->pid);
    int pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (pidfd < 0)
        return sb_fail_errno("process %d", (int)process->pid);
    uint64_t start;
    if (start_time(process->pid, &start) != 0 || start != process->start) {
        close(pidfd);
        return sb_fail("process %d is not the one that was meant: it has gone and its number was reused", (int)process->pid);
    }
    return pidfd;
}

bool sb_process_gone(int pidfd)
{
    struct pollfd gone = { .fd = pidfd, .events = POLLIN };
    return poll(&gone, 1, 0) == 1;
}

int sb_process_signal(int pidfd, int signal)
{
    if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) != 0)
        return sb_fail_errno("sending signal %d", signal);
    return 0;
}

int sb_process_die_with_supervisor(void)
{
    const char *text = getenv("SB_SUPERVISOR");
    if (!text)
        return 0;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return sb_fail_errno("prctl");
    /* Had it died before the call above, no signal would come. */
    if (strtol(text, NULL, 10) != (long)getppid())
        return sb_fail("the supervisor, process %s, is gone", text);
    return 0;
}

uint64_t sb_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static atomic_int stops;

static void on_stop(int signal)
{
    (void)signal;
    atomic_fetch_add(&stops, 1);
}

int sb_stop_install(void)
{
    struct sigaction action = { .sa_handler = on_stop };
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0 || sigaction(SIGPIPE, &ignore, NULL) != 0)
        return sb_fail_errno("installing signal handlers");
    return 0;
}

int sb_stop_requested(void)
{
    return atomic_load(&stops);
}
