/* child.h: one program of a run as a process: started, signalled, its end found out.
 *
 * A child is signalled through a pidfd alone, so never anybody else. It says everything into a pipe that the
 * supervisor reads, and shows signs of life (proto/alive.h). It dies with the supervisor even if that is
 * killed (proto/process.h, SB_SUPERVISOR). SIGINT and SIGHUP are ignored in it: a terminal sends them to
 * everybody, and what is to be done then the supervisor decides. */
#ifndef SB_SUPERVISOR_CHILD_H
#define SB_SUPERVISOR_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/still.h"
#include "supervisor/log.h"
#include "supervisor/restarts.h"

typedef enum { SB_TRAINER, SB_AUGMENT, SB_EVALUATOR, SB_LOADER, SB_REPORTER } sb_program;
#define SB_PROGRAMS 5
extern const char *const sb_program_names[SB_PROGRAMS];

typedef struct {
    bool used; /* runs, or is to be started again */
    sb_program program;
    int number;     /* of a loader */
    pid_t pid;      /* 0: it does not run */
    int pidfd;      /* readable when it has ended */
    int output;     /* what it says */
    bool silent;    /* it has closed that */
    bool leaves;    /* was told to end, and is not started again */
    bool killed;    /* by us */
    int signs;      /* of its life */
    bool heard;     /* there was one */
    bool hung;      /* and then none for so long that it was killed */
    sb_still still; /* since the last one */
    sb_begun begun;
    sb_restarts restarts;
    uint64_t start_at; /* of one that does not run: sb_now() of its next start */
} sb_child;

/* How it ended. */
typedef struct {
    int code;   /* of an exit; -1: by a signal */
    int signal; /* 0: by an exit */
} sb_end;

/* "trainer", "loader 3", into out[32]; returns it. */
const char *sb_child_name(const sb_child *c, char out[32]);

/* Starts c->program of the run. programs: the folder where they lie. */
int sb_child_start(sb_child *c, const char *programs, const char *run_dir);

/* Sends a signal, if it runs. */
void sb_child_signal(sb_child *c, int signal);

/* ns of its own time without a sign of life, since the last one or its start; to be asked often. 0: it does
 * not run. */
uint64_t sb_child_silent(sb_child *c);

/* True if it has ended, which is known then in *end; what it had still said is in the log. */
bool sb_child_ended(sb_child *c, sb_log *log, sb_end *end);

#endif
