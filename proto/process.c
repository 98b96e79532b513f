/* process.c: see process.h. */
#include "proto/process.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
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
#include "proto/group.h"

/* What /proc/PID/stat says: fields 2, 3, 4 and 22. */
typedef struct {
    char name[32]; /* of the program, cut to 15 bytes */
    char state;
    pid_t parent;
    uint64_t start;
} facts;

/* Of a process or a thread: `path` is its stat. */
static int read_facts(const char *path, facts *out)
{
    char line[1024];
    FILE *file = fopen(path, "re");
    if (!file)
        return sb_fail_errno("%s", path);
    size_t got = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[got] = '\0';
    const char *name = strchr(line, '('),
               *field = strrchr(line, ')'); /* the name itself may hold spaces and parentheses */
    if (!name || !field)
        return sb_fail("%s: no name in it", path);
    snprintf(out->name, sizeof out->name, "%.*s", (int)(field - name - 1), name + 1);
    char *end = line;
    for (int number = 2; field && number < 22; number++) {
        field = strchr(field + 1, ' ');
        if (field && number == 2)
            out->state = field[1];
        if (field && number == 3)
            out->parent = (pid_t)strtol(field + 1, NULL, 10);
    }
    errno = 0;
    out->start = field ? strtoull(field + 1, &end, 10) : 0;
    if (!field || errno || *end != ' ')
        return sb_fail("%s: no start time in it", path);
    return 0;
}

static int look_up(pid_t pid, facts *out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    return read_facts(path, out);
}

int sb_process_self(sb_process *out)
{
    facts self;
    out->pid = getpid();
    if (look_up(out->pid, &self) != 0)
        return -1;
    out->start = self.start;
    return 0;
}

/* As sb_process_open, and what is known of the process. */
static int open_known(const sb_process *process, facts *known)
{
    if (process->pid <= 0)
        return sb_fail("%d is no process id", (int)process->pid);
    int pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (pidfd < 0)
        return sb_fail_errno("process %d", (int)process->pid);
    if (look_up(process->pid, known) != 0 || known->start != process->start) {
        close(pidfd);
        return sb_fail("process %d is not the one that was meant: it has gone and its number was reused",
                       (int)process->pid);
    }
    return pidfd;
}

int sb_process_open(const sb_process *process)
{
    facts known;
    return open_known(process, &known);
}

int sb_process_open_sibling(const sb_process *process, const char *program)
{
    facts known;
    int pidfd = open_known(process, &known);
    if (pidfd < 0 || (known.parent == getppid() && strcmp(known.name, program) == 0))
        return pidfd;
    close(pidfd);
    return sb_fail("process %d is no %s that this run's supervisor (process %d) started", (int)process->pid,
                   program, (int)getppid());
}

bool sb_process_gone(int pidfd)
{
    struct pollfd gone = { .fd = pidfd, .events = POLLIN };
    return poll(&gone, 1, 0) == 1;
}

/* One thread's share of sb_process_times. */
static bool add_thread(pid_t pid, const char *thread, sb_process_time *sum)
{
    char path[PATH_MAX];
    uint64_t ran = 0, kept = 0;
    facts known;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, thread);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    int got = fscanf(file, "%" SCNu64 " %" SCNu64, &ran, &kept);
    fclose(file);
    snprintf(path, sizeof path, "/proc/%d/task/%s/stat", (int)pid, thread);
    if (got != 2 || ran == 0 ||
        read_facts(path, &known) != 0) /* 0: it never ran, or this kernel does not count */
        return false;
    sum->ran += ran;
    sum->kept += kept;
    sum->ready |= known.state == 'R';
    return true;
}

bool sb_process_times(pid_t pid, sb_process_time *out)
{
    char path[64];
    *out = (sb_process_time){ 0 };
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    bool known = false;
    for (struct dirent *entry;
         threads && (entry = readdir(threads));) /* one that ends meanwhile is left out */
        known |= entry->d_name[0] != '.' && add_thread(pid, entry->d_name, out);
    if (threads)
        closedir(threads);
    return known;
}

size_t sb_process_siblings_hold(void)
{
    static const char *const parts[] = { "Pss_Anon:", "Pss_Shmem:" };
    const char *supervisor = getenv("SB_SUPERVISOR");
    size_t all = 0, kib;
    DIR *processes = supervisor ? opendir("/proc") : NULL;
    for (struct dirent *entry; processes && (entry = readdir(processes));) {
        char folder[sizeof "/proc/" + sizeof entry->d_name];
        facts known;
        const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || pid == getpid() || look_up(pid, &known) != 0 || known.parent != getppid())
            continue;
        snprintf(folder, sizeof folder, "/proc/%s", entry->d_name);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (sb_line_number(folder, "smaps_rollup", parts[i], &kib))
                all += kib * 1024;
    }
    if (processes)
        closedir(processes);
    return all;
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
    const int stopping[] = { SIGINT, SIGTERM, SIGHUP };
    const struct sigaction action = { .sa_handler = on_stop }, ignore = { .sa_handler = SIG_IGN };
    struct sigaction before;
    int rc = sigaction(SIGPIPE, &ignore, NULL);
    for (size_t i = 0; rc == 0 && i < sizeof stopping / sizeof *stopping; i++) {
        rc = sigaction(stopping[i], NULL, &before);
        if (rc == 0 && before.sa_handler != SIG_IGN)
            rc = sigaction(stopping[i], &action, NULL);
    }
    return rc == 0 ? 0 : sb_fail_errno("installing signal handlers");
}

int sb_stop_requested(void) { return atomic_load(&stops); }
