/* main.c of sb_supervisor: supervises a run, and asks the supervisor of one. Used by ./run. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"          /* sb_fail */
#include "proto/program.h"        /* sb_program_* */
#include "proto/request.h"        /* sb_request_* */
#include "proto/rundir.h"         /* sb_rundir_* */
#include "supervisor/known.h"     /* sb_known_* */
#include "supervisor/state.h"     /* sb_state_* */
#include "supervisor/supervise.h" /* sb_supervise */
#include "supervisor/watch.h"     /* sb_watch_run */
#include "trainer/status.h"       /* sb_status_* */

#define PATIENCE_MS 2000 /* before who waits is told for what */
#define ANSWER_MS 10000  /* for what takes no time */
#define RUNS "runs"

typedef struct arguments arguments;

typedef struct {
    const char *name;
    int (*run)(const arguments *a);
} command;

struct arguments {
    const command *command;
    const char *self; /* argv[0] */
    const char *run_dir, *loaders, *then;
    bool detach, now, named; /* named: the run is one that the command line names */
};

/* ---- supervise -------------------------------------------------------------------------------------------- */

/* In the background, with log/run.log as its screen. Returns in the child, with *ready; the parent ends when
 * the run can be asked for something, or has failed. */
static int leave(const char *run_dir, int *ready)
{
    int ends[2];
    char path[PATH_MAX], word[SB_ERROR_MAX] = "";
    if (sb_rundir_path(path, run_dir, "log/run.log") != 0)
        return -1;
    const int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666),
              nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log < 0 || nothing < 0)
        return sb_fail_errno("opening %s", log < 0 ? path : "/dev/null");
    if (pipe2(ends, O_CLOEXEC) != 0)
        return sb_fail_errno("making a pipe");
    const pid_t pid = fork();
    if (pid < 0)
        return sb_fail_errno("starting in the background");
    if (pid > 0) {
        close(ends[1]);
        ssize_t got = read(ends[0], word, sizeof word - 1);
        if (got == 1 && word[0] == '\n') {
            printf("%s runs in the background; ./run status %s\n", run_dir, run_dir);
            exit(EXIT_SUCCESS);
        }
        word[strcspn(word, "\n")] = '\0';
        return sb_fail("%s did not start: %s", run_dir, got > 0 ? word : "its supervisor was killed");
    }
    close(ends[0]);
    if (setsid() < 0 || signal(SIGHUP, SIG_IGN) == SIG_ERR || dup2(nothing, STDIN_FILENO) < 0 ||
        dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        return sb_fail_errno("leaving the terminal");
    *ready = ends[1];
    return 0;
}

static int supervise(const arguments *a)
{
    char programs[PATH_MAX];
    int ready = -1;
    if (snprintf(programs, sizeof programs, "%s", a->self) >= (int)sizeof programs)
        return sb_fail("%s: the path is too long", a->self);
    if (sb_request_heard(a->run_dir))
        return sb_fail("%s is running already: ./run status %s, ./run stop %s", a->run_dir, a->run_dir,
                       a->run_dir);
    if (a->detach && leave(a->run_dir, &ready) != 0)
        return -1;
    sb_known_add(a->run_dir);
    int rc = sb_supervise(a->run_dir, dirname(programs), &ready);
    if (rc >= 0)
        sb_known_add(a->run_dir); /* it was in use until now */
    if (rc < 0 && ready >= 0)
        dprintf(ready, "%s\n", sb_error());
    if (rc == 0 && a->then) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        execl(a->then, a->then, "show", a->run_dir, (char *)NULL);
        return sb_fail_errno("starting %s", a->then);
    }
    return rc;
}

/* ---- requests --------------------------------------------------------------------------------------------- */

/* Sends a request and waits for its answer, of which `answer` gets what stands behind its first word. */
static int ask(const char *run_dir, const char *request, const char *meanwhile, char answer[SB_REQUEST_MAX])
{
    char text[SB_REQUEST_MAX];
    const int fd = sb_request_connect(run_dir);
    if (fd < 0)
        return -1;
    int rc = sb_request_send(fd, request) == 0 ? sb_request_wait(fd, PATIENCE_MS, text) : -1;
    if (rc == 0 && meanwhile) {
        printf("%s: %s\n", run_dir, meanwhile);
        fflush(stdout);
    }
    if (rc == 0)
        rc = sb_request_wait(fd, meanwhile ? -1 : ANSWER_MS, text);
    close(fd);
    if (rc == 0)
        return sb_fail("%s: its supervisor has not answered for %d s: it may be stopped", run_dir,
                       (PATIENCE_MS + ANSWER_MS) / 1000);
    if (rc < 0)
        return sb_context("%s", run_dir);
    const size_t done = strlen(SB_REQUEST_DONE), refused = strlen(SB_REQUEST_REFUSED);
    if (strncmp(text, SB_REQUEST_REFUSED, refused) == 0)
        return sb_fail("%s: %s", run_dir, text + refused);
    if (strncmp(text, SB_REQUEST_DONE, done) != 0)
        return sb_fail("%s: its supervisor answers `%s`", run_dir, text);
    snprintf(answer, SB_REQUEST_MAX, "%s", text + done);
    return 0;
}

static int stop(const arguments *a)
{
    char answer[SB_REQUEST_MAX];
    if (ask(a->run_dir, a->now ? "stop now" : "stop",
            a->now ? "waiting until all its programs have ended"
                   : "waiting until the last finished step is saved (./run stop --now ends at once)",
            answer) != 0)
        return -1;
    printf("%s: %s\n", a->run_dir, answer);
    return 0;
}

static int scale(const arguments *a)
{
    char request[SB_REQUEST_MAX], answer[SB_REQUEST_MAX], *end;
    const char *value = a->loaders && strncmp(a->loaders, "loaders=", 8) == 0 ? a->loaders + 8 : "";
    const long loaders = strtol(value, &end, 10);
    if (*value == '\0' || *end != '\0' || loaders < 1 || loaders > 256)
        return sb_fail("scale: loaders=N with N from 1 to 256 is expected, not `%s`",
                       a->loaders ? a->loaders : "");
    snprintf(request, sizeof request, "scale %ld", loaders);
    if (ask(a->run_dir, request, NULL, answer) != 0)
        return -1;
    printf("%s: %s\n", a->run_dir, answer);
    return 0;
}

/* ---- status ----------------------------------------------------------------------------------------------- */

static int status(const arguments *a)
{
    char line[256];
    sb_state state;
    sb_state_look(a->run_dir, ANSWER_MS, &state);
    if (state.kind == SB_STATE_MUTE)
        return sb_fail("%s", state.text);
    printf("%s: %s%s%s\n", a->run_dir, state.text, state.remark[0] ? "; " : "", state.remark);
    if (state.known && state.status.steps > 0) {
        if (sb_status_line(&state.status, line, sizeof line) != 0)
            return -1;
        printf("%s\n", line);
    }
    return 0;
}

static int watch(const arguments *a) { return sb_watch_run(a->run_dir); }

/* ---- which run -------------------------------------------------------------------------------------------- */

/* For a command that does not say itself of which run it speaks. */
static int find(const arguments *a)
{
    if (a->named)
        sb_known_add(a->run_dir);
    else
        fprintf(stderr, "run: %s\n", a->run_dir);
    printf("%s\n", a->run_dir);
    return 0;
}

static int find_run(arguments *a)
{
    static char latest[PATH_MAX];
    a->named = a->run_dir;
    if (!a->named) {
        if (sb_known_latest(RUNS, latest) != 0)
            return -1;
        a->run_dir = latest;
    }
    return sb_rundir_check(a->run_dir) == 0
               ? 0
               : sb_fail("%s: name one, or none for the run used last", sb_error());
}

/* ---- the command line ------------------------------------------------------------------------------------- */

static const command commands[] = {
    { "supervise", supervise }, { "stop", stop },   { "scale", scale },
    { "status", status },       { "watch", watch }, { "find", find },
};
enum { COMMANDS = sizeof commands / sizeof *commands };

enum { KEY_DETACH = 0x100, KEY_NOW, KEY_THEN };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case KEY_DETACH: a->detach = true; break;
    case KEY_NOW: a->now = true; break;
    case KEY_THEN: a->then = argument; break;
    case ARGP_KEY_ARG:
        if (!a->command) {
            for (int i = 0; i < COMMANDS; i++)
                if (strcmp(commands[i].name, argument) == 0)
                    a->command = &commands[i];
            if (!a->command)
                return sb_program_wrong("no command `%s` (--help)", argument);
        } else if (a->command->run == scale && strchr(argument, '=')) {
            a->loaders = argument;
        } else if (a->run_dir) {
            return sb_program_wrong("%s: one run, not %s and %s", a->command->name, a->run_dir, argument);
        } else {
            a->run_dir = argument;
        }
        break;
    case ARGP_KEY_END:
        if (!a->command)
            return sb_program_wrong("a command was expected (--help)");
        return sb_program_check_options(state, a->command->name);
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp_option options[] = {
        { "detach", KEY_DETACH, NULL, 0, "supervise: in the background", 0 },
        { "then", KEY_THEN, "SCRIPT", 0, "supervise: becomes `SCRIPT show RUN` when the run is finished", 0 },
        { "now", KEY_NOW, NULL, 0, "stop: without saving; the newest checkpoint stays", 0 },
        { 0 },
    };
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "supervise RUN\nstop [RUN]\nscale [RUN] loaders=N\nstatus [RUN]\nwatch [RUN]\nfind [RUN]",
        .doc = "Supervises a run, and asks the supervisor of one. Used by ./run.\vWithout RUN it is the run "
               "that was used last, wherever it lies; one that lives comes first. find with RUN counts as "
               "use.\n\nsupervise exits with 0 when the run is finished, 130 when it was stopped, 8 when an "
               "alarm has stopped it, 1 when it has failed.",
    };
    arguments a = { .self = argv[0] };
    sb_program_begin("supervisor");
    sb_program_arguments(&argp, argc, argv, &a);
    return sb_program_end(find_run(&a) == 0 ? a.command->run(&a) : -1);
}
