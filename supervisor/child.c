/* child.c: see child.h. */
#include "supervisor/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/alive.h"
#include "proto/error.h"
#include "proto/process.h"

#define PIPE_BYTES (1 << 20) /* that it may say while the supervisor is stopped */
#define NICE 10              /* of all others: the trainer goes first */
#define LOOK_NS 50000000     /* between two looks at what one without a sign of life does */

const char *const sb_program_names[SB_PROGRAMS] = { "trainer", "augment", "evaluator", "loader", "report" };

/* How each is called. A library's threads would take the trainer's cores. */
static const struct {
    const char *binary, *command;
    int nice;
    const char *settings[2];
} calls[SB_PROGRAMS] = {
    [SB_TRAINER] = { "sb_trainer", "train", 0, { NULL } },
    [SB_AUGMENT] = { "sb_augment", NULL, NICE, { "OMP_NUM_THREADS", NULL } },
    [SB_EVALUATOR] = { "sb_evaluator", "accompany", NICE, { "OMP_NUM_THREADS", NULL } },
    [SB_LOADER] = { "sb_loader", "serve", NICE, { "OMP_NUM_THREADS", NULL } },
    [SB_REPORTER] = { "sb_evaluator", "report", 0, { "OMP_NUM_THREADS", NULL } },
};

const char *sb_child_name(const sb_child *c, char out[32])
{
    if (c->program == SB_LOADER)
        snprintf(out, 32, "loader %d", c->number);
    else
        snprintf(out, 32, "%s", sb_program_names[c->program]);
    return out;
}

/* In the child. Returns only where it fails. */
static void become(const sb_child *c, const char *path, const char *run_dir, int output, pid_t supervisor)
{
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char *arguments[4] = { (char *)(uintptr_t)path }, pid[32];
    int count = 1;
    sigset_t none;
    if (calls[c->program].command)
        arguments[count++] = (char *)(uintptr_t)calls[c->program].command;
    arguments[count] = (char *)(uintptr_t)run_dir;
    snprintf(pid, sizeof pid, "%d", (int)supervisor);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0 || sb_alive_hand_on(c->signs) != 0 ||
        setenv("SB_SUPERVISOR", pid, 1) != 0)
        return;
    for (const char *const *s = calls[c->program].settings; *s; s++)
        setenv(*s, "1", 1);
    if (calls[c->program].nice > 0)
        setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + calls[c->program].nice);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(path, arguments);
}

int sb_child_start(sb_child *c, const char *programs, const char *run_dir)
{
    char path[PATH_MAX];
    int ends[2];
    const pid_t self = getpid();
    if (snprintf(path, sizeof path, "%s/%s", programs, calls[c->program].binary) >= (int)sizeof path)
        return sb_fail("%s: the path is too long", programs);
    c->signs = sb_alive_create();
    if (c->signs < 0)
        return -1;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        sb_fail_errno("making a pipe for %s", path);
        close(c->signs);
        return -1;
    }
    fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES); /* as much as the system allows */
    const pid_t pid = fork();
    if (pid == 0) {
        become(c, path, run_dir, ends[1], self);
        dprintf(ends[1], "smallbatch supervisor: %s cannot be started: %s\n", path, strerror(errno));
        _exit(EXIT_FAILURE);
    }
    const int error = errno;
    close(ends[1]);
    c->pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (c->pidfd < 0) {
        errno = pid > 0 ? errno : error;
        sb_fail_errno("starting %s", path);
        close(ends[0]);
        close(c->signs);
        if (pid > 0) { /* it is ours, and not waited for: the number is still its own */
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        return -1;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    c->pid = pid;
    c->output = ends[0];
    c->killed = c->silent = c->heard = c->hung = false;
    c->start_at = 0;
    sb_still_begin(&c->still);
    return 0;
}

void sb_child_signal(sb_child *c, int signal)
{
    if (c->pid > 0 && sb_process_signal(c->pidfd, signal) == 0 && signal == SIGKILL)
        c->killed = true;
}

uint64_t sb_child_silent(sb_child *c)
{
    if (c->pid <= 0)
        return 0;
    if (sb_alive_shown(c->signs)) {
        c->heard = true;
        sb_still_begin(&c->still);
    }
    sb_still_look(&c->still, c->pid, LOOK_NS);
    return c->still.ns;
}

bool sb_child_ended(sb_child *c, sb_log *log, sb_end *end)
{
    int status;
    if (c->pid <= 0 || waitpid(c->pid, &status, WNOHANG) != c->pid)
        return false;
    *end = WIFSIGNALED(status) ? (sb_end){ -1, WTERMSIG(status) } : (sb_end){ WEXITSTATUS(status), 0 };
    sb_log_take(log, &c->begun, c->output, PIPE_BYTES); /* somebody else may still write into it */
    sb_log_end(log, &c->begun);
    close(c->output);
    close(c->pidfd);
    close(c->signs);
    c->pid = 0;
    return true;
}
