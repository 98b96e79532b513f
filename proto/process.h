/* process.h: who a process is, and whether it is gone.
 *
 * A process is named by (pid, start time): pids are reused, the pair is not. Only a pidfd says that every
 * thread of it is gone (a closed socket or a silent heartbeat does not), so only then may what it held be
 * taken back. */
#ifndef SB_PROTO_PROCESS_H
#define SB_PROTO_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* "You make no progress": a loader that gets it marks the file it is decoding and dies. */
#define SB_SIGNAL_HUNG SIGALRM

typedef struct {
    pid_t pid;
    uint64_t start; /* field 22 of /proc/PID/stat, in clock ticks since boot */
} sb_process;

/* The calling process. */
int sb_process_self(sb_process *out);

/* Opens a pidfd for `process` and checks the start time after it; -1 if it is gone or another process has its
 * pid. */
int sb_process_open(const sb_process *process);

/* As sb_process_open, for a process that says of itself who it is: -1 also if it is not the named program,
 * started by the calling process's parent. */
int sb_process_open_sibling(const sb_process *process, const char *program);

/* True once every thread of the process behind `pidfd` is gone. */
bool sb_process_gone(int pidfd);

/* How the threads of a process have spent their time since they began, in ns, summed over the threads. ran:
 * running. kept: ready to run, but kept from it by others; a wait is added when it ends. ready: one of the
 * threads is running or ready now. False where the kernel does not say, or the process is gone. */
typedef struct {
    uint64_t ran, kept;
    bool ready;
} sb_process_time;
bool sb_process_times(pid_t pid, sb_process_time *out);

/* Bytes of memory behind which there is no file, held by the other processes that this one's supervisor
 * (SB_SUPERVISOR) started; of what is shared, their part. 0 without a supervisor, or where the kernel does
 * not say. */
size_t sb_process_siblings_hold(void);

/* Sends a signal through the pidfd. */
int sb_process_signal(int pidfd, int signal);

/* Dies by SIGKILL with the process whose pid stands in the environment variable SB_SUPERVISOR, which must be
 * the parent; without the variable it does nothing. -1 if that process has gone already. */
int sb_process_die_with_supervisor(void);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t sb_now(void);

/* SIGINT, SIGTERM and SIGHUP set a flag instead of killing; one that is ignored already stays so. SIGPIPE is
 * ignored. The flag counts signals. */
int sb_stop_install(void);
int sb_stop_requested(void);

#endif
