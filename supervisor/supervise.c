/* supervise.c: see supervise.h.
 *
 * One thread and one poll: signals (by signalfd), the ends of children (by pidfd), what they say (by pipes),
 * who asks (request.h), and what is due at some time. Nothing else waits.
 *
 * A stop has two parts. First the trainer is asked, which saves its last finished step and ends; then all
 * others are told to end, and killed where they do not. Whoever asked for a stop is answered at the very end,
 * with what was saved. */
#include "supervisor/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "evaluator/keys.h"
#include "loader/keys.h"
#include "proto/config.h"
#include "proto/error.h"
#include "proto/memory.h"
#include "proto/process.h"
#include "proto/request.h"
#include "proto/rundir.h"
#include "supervisor/child.h"
#include "supervisor/deaths.h"
#include "supervisor/log.h"
#include "supervisor/screen.h"
#include "trainer/alarm.h"
#include "trainer/keys.h"
#include "trainer/status.h"

#define LOADERS_MAX 256                /* of run.loaders */
#define CHILDREN (3 + 2 * LOADERS_MAX) /* as many loaders may be leaving */
#define ASKERS 64
#define TICK_NS UINT64_C(500000000)     /* the screen */
#define SAVE_NS UINT64_C(600000000000)  /* that a trainer may take which is told to end, and saves */
#define LEAVE_NS UINT64_C(5000000000)   /* the same of the others, which have nothing to save */
#define DIES_NS UINT64_C(10000000000)   /* that one may take to die of a SIGKILL */
#define SILENT_NS UINT64_C(30000000000) /* that a trainer may take to stop before that is said */
#define SILENT_TIMES 3                  /* loader.timeout without a sign of life end a program */
#define ROOM_S 300                      /* the longest pause between two starts of one that lacks memory */
#define REPORT_NS UINT64_C(60000000000) /* that the report at the end may take */
#define END_MS 1000                     /* that the last lines wait for room on the screen */
#define TAKEN_MAX (64 << 10)            /* bytes of one program between two looks at all else */

/* Exit codes of programs (trainer/main.c, augment/main.c, loader/main.c, evaluator/main.c). */
enum { CANNOT_GO_ON = 1, SAVED = 3, TRAINER_GONE = 4, RESIZED = 5, NO_ROOM = 7, ALARM = SB_EXIT_ALARM };

typedef enum { RUNS, STOPS, ENDS } sb_phase; /* STOPS: the trainer was asked; ENDS: all were */
typedef enum { FINISHED, STOPPED, STOPPED_AT_ONCE, ALARMED, FAILED } sb_outcome;

typedef struct {
    const char *run_dir, *programs;
    sb_child children[CHILDREN]; /* trainer, augment, evaluator, then loaders */
    sb_log logs[SB_PROGRAMS];
    sb_screen screen;
    int signals, listener;
    int askers[ASKERS]; /* connections without a request yet; -1: none */
    int stops[ASKERS];  /* those that asked for a stop */
    int stop_count, interrupts;
    int wanted, next_loader;
    bool planned; /* a trainer has planned the memory: loaders may start */
    sb_phase phase;
    sb_outcome outcome;
    bool evaluates;                     /* evaluate.every */
    bool alarmed;                       /* an alarm stops it, and nobody else did before */
    bool saved;                         /* by the trainer, at its end */
    char lost[512];                     /* how else a trainer ended that was to save; "": it did not run */
    int64_t progress;                   /* measure_progress at its last */
    int64_t began;                      /* the same at the start of the first trainer with these views */
    uint64_t kill_at, leave_at, say_at; /* 0: not yet */
    uint64_t tick_at;
    time_t since;
    uint64_t patience; /* ns that a program may give no sign of life */
    int64_t step;      /* of status.json */
    uint64_t step_at;  /* since when it is that */
    double room_s;     /* the last pause of one that lacked memory; 0: nobody does */
    bool named;        /* it was said that the trainer gives no sign of life */
    char reason[512];  /* of a failure */
    sb_deaths memory;  /* processes that the kernel has ended for lack of memory */
} supervisor;

static sb_log *log_of(supervisor *s, const sb_child *c) { return &s->logs[c->program]; }

/* ---- what is shown ---------------------------------------------------------------------------------------- */

static void show_notes(supervisor *s)
{
    const char *note;
    for (int i = 0; i < SB_PROGRAMS; i++)
        while ((note = sb_log_next_note(&s->logs[i])))
            sb_screen_say(&s->screen, false, "%s", note);
}

static void show(supervisor *s, bool last)
{
    sb_status status;
    if (s->phase == ENDS && s->outcome == FAILED) /* the reason is the last word; the rest is in log/ */
        return;
    show_notes(s);
    const bool known = sb_status_read(s->run_dir, &status) == 0;
    if (known && status.step != s->step) {
        if (status.step > s->step)
            s->room_s = 0;
        s->step = status.step;
        s->step_at = sb_now();
    }
    if (known && status.step > 0)
        sb_screen_progress(&s->screen, &status, last);
}

/* ---- ends ------------------------------------------------------------------------------------------------- */

static void end_all(supervisor *s, sb_outcome outcome)
{
    if (s->phase == ENDS)
        return;
    s->phase = ENDS;
    s->outcome = outcome;
    s->kill_at = sb_now() + (s->children[SB_TRAINER].pid > 0 ? SAVE_NS : LEAVE_NS);
    for (int i = 0; i < CHILDREN; i++) {
        s->children[i].start_at = 0;
        sb_child_signal(&s->children[i], SIGTERM);
    }
}

/* Program c cannot go on, for the reason that it gave itself in its last words, or else the given one. What
 * it noted before is no part of that. */
static void fail(supervisor *s, sb_child *c, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fail(supervisor *s, sb_child *c, const char *format, ...)
{
    char what[640], name[32];
    const char *line, *last = NULL;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    s->screen.patience_ms = END_MS;
    while ((line = sb_log_earlier_note(log_of(s, c))))
        sb_screen_say(&s->screen, false, "%s", line);
    sb_screen_say(&s->screen, true, "run: %s %s:", sb_child_name(c, name), what);
    for (int cursor = 0; (line = sb_log_last_words(log_of(s, c), &cursor)); last = line)
        sb_screen_say(&s->screen, true, "    %s", line);
    snprintf(s->reason, sizeof s->reason, "%s %.300s%s%s", name, what, last ? ": " : "", last ? last : "");
    log_of(s, c)->shown = log_of(s, c)->said;
    end_all(s, FAILED);
}

static void stop(supervisor *s, bool at_once)
{
    if (at_once) {
        end_all(s, STOPPED_AT_ONCE);
        s->kill_at = sb_now();
    } else if (s->phase == RUNS && s->children[SB_TRAINER].pid == 0) { /* it waits for its next start */
        end_all(s, s->alarmed ? ALARMED : STOPPED);
    } else if (s->phase == RUNS) {
        s->phase = STOPS;
        s->say_at = sb_now() + SILENT_NS;
        sb_child_signal(&s->children[SB_TRAINER], SIGTERM);
    }
}

/* Lines of a file, 0 where there is none; -1: it cannot be read. */
static int64_t count_lines(const supervisor *s, const char *name)
{
    char path[PATH_MAX], part[16384];
    int64_t lines = 0;
    ssize_t got;
    if (sb_rundir_path(path, s->run_dir, "%s", name) != 0)
        return -1;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    while ((got = read(fd, part, sizeof part)) > 0)
        for (ssize_t i = 0; i < got; i++)
            lines += part[i] == '\n';
    close(fd);
    return got < 0 ? -1 : lines;
}

/* How far the run is, in steps and in files found bad; as before, where that cannot be read. */
static int64_t measure_progress(supervisor *s)
{
    const int64_t steps = count_lines(s, "metrics.jsonl"), bad = count_lines(s, "quarantine.jsonl");
    if (steps >= 0 && bad >= 0)
        s->progress = steps + bad;
    return s->progress;
}

/* How it ended: the end of a sentence. */
static void describe(supervisor *s, const sb_child *c, const sb_end *end, char *out, size_t bytes)
{
    if (c->hung)
        snprintf(out, bytes, "gave no sign of life for %g s (three times loader.timeout) and was killed",
                 (double)s->patience / 1e9);
    else if (end->code == NO_ROOM)
        snprintf(out, bytes, "found too little memory");
    else if (end->signal == 0)
        snprintf(out, bytes, "ended with exit code %d", end->code);
    else if (end->signal != SIGKILL || c->killed)
        snprintf(out, bytes, "was ended by signal %d (%s)", end->signal, strsignal(end->signal));
    else
        sb_deaths_describe(&s->memory, out, bytes);
}

/* Waits with the next start, or gives up. how: the end of a sentence. */
static void retry(supervisor *s, sb_child *c, const char *how)
{
    char name[32], line[SB_LOG_LINE];
    const double pause = sb_restarts_died(&c->restarts, measure_progress(s));
    if (pause < 0) {
        fail(s, c, "died %d times without any progress; the last time it %s", c->restarts.deaths, how);
        return;
    }
    snprintf(line, sizeof line, "smallbatch supervisor: %s %s; it is started again", sb_child_name(c, name),
             how);
    sb_log_add(log_of(s, c), line);
    c->start_at = sb_now() + (uint64_t)(pause * 1e9);
}

/* What it needs of the memory is with others. A run that has not made a step yet ends: its keys ask for too
 * much. One that was under way waits for as long as nobody stops it, which costs nothing; after a night there
 * may be room again, and nobody was there to resume it. */
static void await_room(supervisor *s, sb_child *c)
{
    char name[32], line[SB_LOG_LINE];
    if (measure_progress(s) <= s->began) {
        fail(s, c, "cannot go on");
        return;
    }
    if (s->room_s == 0) {
        snprintf(line, sizeof line,
                 "smallbatch supervisor: %s found too little memory; it is started again, and again until "
                 "there is enough",
                 sb_child_name(c, name));
        sb_log_add(log_of(s, c), line);
    }
    s->room_s = s->room_s == 0 ? 1 : 2 * s->room_s < ROOM_S ? 2 * s->room_s : ROOM_S;
    c->start_at = sb_now() + (uint64_t)(s->room_s * 1e9);
}

static void start(supervisor *s, sb_child *c)
{
    char how[512];
    c->used = true;
    c->start_at = 0;
    if (sb_child_start(c, s->programs, s->run_dir) == 0)
        return;
    snprintf(how, sizeof how, "could not be started (%.400s)", sb_error());
    retry(s, c, how);
}

/* how: the end of a sentence. */
static void on_trainer_end(supervisor *s, sb_child *c, const sb_end *end, const char *how)
{
    s->saved = end->code == SAVED || end->code == RESIZED || end->code == ALARM;
    s->alarmed = s->alarmed || (end->code == ALARM && s->phase == RUNS);
    snprintf(s->lost, sizeof s->lost, "%s", how);
    if (end->code == 0)
        end_all(s, FINISHED);
    else if (end->code == SAVED || end->code == ALARM)
        end_all(s, s->alarmed ? ALARMED : STOPPED);
    else if (end->code == CANNOT_GO_ON && s->phase != ENDS)
        fail(s, c, "cannot go on");
    else if (s->phase == STOPS)
        end_all(s, s->alarmed ? ALARMED : STOPPED);
    else if (end->code == RESIZED && s->phase == RUNS) {
        s->began = measure_progress(s); /* what it needs from now on it never had */
        start(s, c);
    } else if (end->code == NO_ROOM && s->phase == RUNS)
        await_room(s, c);
    else if (s->phase == RUNS)
        retry(s, c, how);
}

/* Unless it has raised an alarm that stops the run, that goes on without it, whatever it was. how: the end of
 * a sentence. */
static void on_evaluator_end(supervisor *s, sb_child *c, const sb_end *end, const char *how)
{
    char line[SB_LOG_LINE];
    c->used = false;
    if (end->code == 0 || s->phase != RUNS)
        return;
    if (end->code == ALARM) {
        s->alarmed = true;
        stop(s, false);
        return;
    }
    snprintf(line, sizeof line,
             "smallbatch supervisor: the evaluator %s; the run goes on without (./run evaluate)", how);
    sb_log_add(log_of(s, c), line);
}

static void on_end(supervisor *s, sb_child *c, const sb_end *end)
{
    char how[512];
    describe(s, c, end, how, sizeof how); /* once: it counts what the kernel has killed */
    c->used = !c->leaves;
    if (c->program == SB_TRAINER) {
        on_trainer_end(s, c, end, how);
        if (s->phase == ENDS && s->kill_at != UINT64_MAX)
            s->kill_at = sb_now() + LEAVE_NS;
    } else if (c->program == SB_EVALUATOR) {
        on_evaluator_end(s, c, end, how);
    } else if (s->phase == RUNS && !c->leaves) {
        if (end->code == CANNOT_GO_ON)
            fail(s, c, "cannot go on");
        else if (end->code == TRAINER_GONE)
            start(s, c);
        else if (end->code == NO_ROOM)
            await_room(s, c);
        else
            retry(s, c, how);
    }
}

/* ---- loaders ---------------------------------------------------------------------------------------------- */

static sb_child *unused(supervisor *s)
{
    for (int i = SB_LOADER; i < CHILDREN; i++)
        if (!s->children[i].used)
            return &s->children[i];
    return NULL;
}

/* For how many loaders the trainer has planned the memory to do. */
static int most_loaders(const supervisor *s)
{
    sb_status status;
    const bool known = sb_status_read(s->run_dir, &status) == 0 && status.loaders_most > 0;
    return known && status.loaders_most < LOADERS_MAX ? status.loaders_most : LOADERS_MAX;
}

/* Loaders take memory as soon as they start. So they do once the trainer, which refuses a number that is too
 * large, has got through its start. */
static void look_at_plan(supervisor *s)
{
    if (!s->planned)
        sb_child_silent(&s->children[SB_TRAINER]);
    if (s->planned || !s->children[SB_TRAINER].heard)
        return;
    const int most = most_loaders(s);
    s->planned = true;
    if (s->wanted <= most)
        return;
    sb_screen_say(&s->screen, true, "run: there is memory for %d loader%s, not for %d", most,
                  sb_plural((uint64_t)most), s->wanted);
    s->wanted = most;
}

/* As many loaders as are wanted; the newest leave first. */
static void scale(supervisor *s)
{
    int count = 0;
    sb_child *newest;
    look_at_plan(s);
    if (!s->planned)
        return;
    do {
        newest = NULL;
        count = 0;
        for (int i = SB_LOADER; i < CHILDREN; i++) {
            sb_child *c = &s->children[i];
            if (!c->used || c->leaves)
                continue;
            count++;
            if (!newest || c->number > newest->number)
                newest = c;
        }
        if (count > s->wanted) {
            newest->leaves = true;
            newest->used = newest->pid > 0;
            newest->start_at = 0;
            sb_child_signal(newest, SIGTERM);
        }
    } while (count > s->wanted);
    for (sb_child *c; count < s->wanted && s->phase == RUNS && (c = unused(s)); count++) {
        *c = (sb_child){ .program = SB_LOADER, .number = s->next_loader++ };
        start(s, c);
    }
}

/* ---- signs of life ---------------------------------------------------------------------------------------- */

/* Ends those that feed the trainer and give no sign of life: who waits for them would do so for ever. The
 * trainer is only spoken of. How long it computes without a step nobody knows, and what it has not saved
 * would be lost with it; one that somebody has stopped goes on when he lets it. */
static void watch(supervisor *s)
{
    for (int i = 0; i < CHILDREN && s->phase == RUNS; i++) {
        sb_child *c = &s->children[i];
        const bool silent = sb_child_silent(c) > s->patience;
        if (i == SB_TRAINER) {
            if (silent && c->heard && !s->named)
                sb_screen_say(&s->screen, true,
                              "run: the trainer has given no sign of life for %g s: it is stopped, or hangs. "
                              "kill -CONT %d lets one that is stopped go on, ./run stop --now ends the run",
                              (double)s->patience / 1e9, (int)c->pid);
            s->named = silent && c->heard;
        } else if (silent && !c->hung &&
                   i != SB_EVALUATOR) { /* nobody waits for that, and it computes long */
            c->hung = true;
            sb_child_signal(c, SIGKILL);
        }
    }
}

/* ---- requests --------------------------------------------------------------------------------------------- */

static const char *phase_name(const supervisor *s)
{
    sb_status status;
    if (s->phase != RUNS)
        return "stopping";
    if (s->room_s > 0)
        return "waiting";
    return sb_status_read(s->run_dir, &status) == 0 && strcmp(status.phase, "training") == 0 ? "training"
                                                                                             : "starting";
}

static void on_request(supervisor *s, int asker, const char *text)
{
    int loaders;
    char rest;
    if (strcmp(text, "stop") == 0 || strcmp(text, "stop now") == 0) {
        stop(s, strcmp(text, "stop now") == 0);
        if (s->stop_count < ASKERS)
            s->stops[s->stop_count++] = asker;
        else
            sb_request_answer(asker, SB_REQUEST_DONE "it is stopping; %d wait for its end already", ASKERS);
    } else if (strcmp(text, "status") == 0) {
        const sb_child *t = &s->children[SB_TRAINER];
        const uint64_t second = 1000000000, quiet = (sb_now() - s->step_at) / second,
                       silent = t->pid > 0 && t->heard ? t->still.ns / second : 0;
        sb_request_answer(asker, SB_REQUEST_DONE "%s %lld %" PRIu64 " %" PRIu64, phase_name(s),
                          (long long)s->since, quiet, silent);
    } else if (sscanf(text, "scale %d%c", &loaders, &rest) != 1) {
        sb_request_answer(asker, SB_REQUEST_REFUSED "there is no request `%s`", text);
    } else if (loaders < 1 || loaders > LOADERS_MAX) {
        sb_request_answer(asker, SB_REQUEST_REFUSED "%d loaders: from 1 to %d", loaders, LOADERS_MAX);
    } else if (s->phase != RUNS) {
        sb_request_answer(asker, SB_REQUEST_REFUSED "the run is stopping");
    } else {
        const int before = s->wanted, most = most_loaders(s);
        if (loaders > most) {
            sb_request_answer(asker,
                              SB_REQUEST_REFUSED "%d loaders: there is memory for %d (%s/log/trainer.log)",
                              loaders, most, s->run_dir);
            return;
        }
        s->wanted = loaders;
        scale(s);
        sb_request_answer(asker, SB_REQUEST_DONE "%d loader%s, before it %d", loaders,
                          sb_plural((uint64_t)loaders), before);
    }
}

static void hear(supervisor *s)
{
    for (int i = 0, fd = 0; i < ASKERS && fd >= 0; i++)
        if (s->askers[i] < 0)
            s->askers[i] = fd = sb_request_accept(s->listener);
    for (int i = 0; i < ASKERS; i++) {
        char text[SB_REQUEST_MAX];
        const int fd = s->askers[i], rc = fd >= 0 ? sb_request_read(fd, text) : 0;
        if (rc != 0)
            s->askers[i] = -1;
        if (rc > 0)
            on_request(s, fd, text);
        if (rc < 0)
            close(fd);
    }
}

/* ---- signals ---------------------------------------------------------------------------------------------- */

/* One that was ignored at the start stays so (nohup). */
static int take_signals(void)
{
    const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&set, numbers[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return sb_fail_errno("blocking signals");
    const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? sb_fail_errno("signalfd") : fd;
}

/* A second Ctrl-C ends at once. */
static void on_signals(supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        s->interrupts += info.ssi_signo == SIGINT;
        if (s->phase == RUNS && info.ssi_signo == SIGINT)
            sb_screen_say(&s->screen, false,
                          "stopping: the trainer saves its last finished step (Ctrl-C again ends at once)");
        stop(s, s->interrupts > 1);
    }
}

/* ---- the loop --------------------------------------------------------------------------------------------- */

/* Not for ever for one that does not die of a SIGKILL, which waits within the kernel: it dies when that lets
 * it. */
static bool anyone_left(const supervisor *s)
{
    bool left = false;
    for (int i = 0; i < CHILDREN; i++)
        left = left || s->children[i].pid > 0;
    return left && (s->leave_at == 0 || sb_now() < s->leave_at);
}

/* Does what is due, and returns ms until the next is. */
static int on_time(supervisor *s)
{
    const uint64_t now = sb_now();
    uint64_t next;
    if (now >= s->tick_at) {
        show(s, false);
        watch(s);
        s->tick_at = now + TICK_NS;
    }
    next = s->tick_at;
    for (int i = 0; i < CHILDREN; i++) {
        sb_child *c = &s->children[i];
        if (c->start_at == 0)
            continue;
        if (now >= c->start_at)
            start(s, c);
        else if (c->start_at < next)
            next = c->start_at;
    }
    if (s->say_at > 0 && now >= s->say_at) {
        s->say_at = 0;
        if (s->phase == STOPS)
            sb_screen_say(&s->screen, true,
                          "run: the trainer has not stopped for %d s: it saves, computes, or is "
                          "stopped itself; ./run stop --now does not wait for it",
                          (int)(SILENT_NS / 1000000000));
    }
    if (s->phase == ENDS && now >= s->kill_at) {
        for (int i = 0; i < CHILDREN; i++)
            sb_child_signal(&s->children[i], SIGKILL);
        s->kill_at = UINT64_MAX;
        s->leave_at = now + DIES_NS;
    } else if (s->phase == ENDS && s->kill_at < next) {
        next = s->kill_at;
    }
    return (int)((next - now + 999999) / 1000000);
}

static int run(supervisor *s)
{
    static struct pollfd fds[3 + ASKERS + 2 * CHILDREN];
    while (s->phase != ENDS || anyone_left(s)) {
        const int timeout = on_time(s);
        nfds_t count = 0;
        fds[count++] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
        bool room = false;
        for (int i = 0; i < ASKERS; i++) {
            room |= s->askers[i] < 0;
            if (s->askers[i] >= 0)
                fds[count++] = (struct pollfd){ .fd = s->askers[i], .events = POLLIN };
        }
        if (room)
            fds[count++] = (struct pollfd){ .fd = s->listener, .events = POLLIN };
        for (int i = 0; i < CHILDREN; i++) {
            if (s->children[i].pid == 0)
                continue;
            fds[count++] = (struct pollfd){ .fd = s->children[i].pidfd, .events = POLLIN };
            if (!s->children[i].silent)
                fds[count++] = (struct pollfd){ .fd = s->children[i].output, .events = POLLIN };
        }
        sb_child *trainer = &s->children[SB_TRAINER];
        if (!s->planned && trainer->pid > 0) /* its first sign of life, for which loaders wait */
            fds[count++] = (struct pollfd){ .fd = trainer->signs, .events = POLLIN };
        if (poll(fds, count, timeout) < 0 && errno != EINTR)
            return sb_fail_errno("poll");
        on_signals(s);
        hear(s);
        for (int i = 0; i < CHILDREN; i++) {
            sb_child *c = &s->children[i];
            sb_end end;
            if (c->pid > 0 && !c->silent)
                c->silent = !sb_log_take(log_of(s, c), &c->begun, c->output, TAKEN_MAX);
            if (sb_child_ended(c, log_of(s, c), &end))
                on_end(s, c, &end);
        }
        scale(s);
    }
    return 0;
}

/* ---- the beginning and the end ---------------------------------------------------------------------------- */

/* Loaders at the start, whether the run measures itself, and how long a program may be silent. */
static int read_keys(supervisor *s)
{
    sb_config config;
    sb_run_keys keys = { 0 };
    sb_loader_keys loader = { 0 };
    sb_evaluate_keys evaluate = { 0 };
    int rc = sb_config_read_run(&config, s->run_dir);
    if (rc == 0)
        rc = sb_config_fill(&config, &sb_run_table, &keys);
    if (rc == 0)
        rc = sb_config_fill(&config, &sb_loader_table, &loader);
    if (rc == 0)
        rc = sb_config_fill(&config, &sb_evaluate_table, &evaluate);
    sb_config_free(&config);
    s->wanted = keys.loaders;
    s->evaluates = evaluate.every > 0;
    s->patience = (uint64_t)(SILENT_TIMES * loader.timeout * 1e9);
    return rc;
}

/* A program takes three descriptors. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int begin(supervisor *s)
{
    char path[PATH_MAX];
    for (int i = 0; i < ASKERS; i++)
        s->askers[i] = -1;
    s->since = time(NULL);
    s->began = measure_progress(s);
    s->step = -1;
    s->step_at = sb_now();
    sb_screen_open(&s->screen);
    if (sb_rundir_lock(s->run_dir, "lock") < 0 || read_keys(s) != 0 ||
        sb_rundir_path(path, s->run_dir, "status.json") != 0)
        return -1;
    for (int i = 0; i < SB_PROGRAMS; i++)
        if (sb_log_open(&s->logs[i], s->run_dir, sb_program_names[i]) != 0)
            return -1;
    raise_limit();
    s->signals = take_signals();
    s->listener = s->signals < 0 ? -1 : sb_request_listen(s->run_dir);
    if (s->listener < 0)
        return -1;
    if (unlink(path) != 0 && errno != ENOENT)
        return sb_fail_errno("removing %s", path);
    sb_deaths_begin(&s->memory, "/proc");
    return 0;
}

/* How the run ended, as an answer to who asked for a stop. */
static void describe_end(const supervisor *s, const sb_status *status, char out[SB_REQUEST_MAX])
{
    char way[SB_REQUEST_MAX / 2]; /* a longer path is cut */
    sb_status_way_on(s->run_dir, way, sizeof way);
    switch (s->outcome) {
    case FINISHED:
        snprintf(out, SB_REQUEST_MAX, SB_REQUEST_DONE "it had just finished: %s/backbone.safetensors",
                 s->run_dir);
        break;
    case ALARMED:
    case STOPPED:
        if (s->saved && s->outcome == ALARMED)
            snprintf(out, SB_REQUEST_MAX,
                     SB_REQUEST_DONE "stopped by an alarm (%s at step %" PRId64 ") after step %" PRId64
                                     ", saved; what to do: docs/alarms.md; go on with: ./run resume %s",
                     status->alarm.name, status->alarm.step, status->step, s->run_dir);
        else if (s->saved)
            snprintf(out, SB_REQUEST_MAX,
                     SB_REQUEST_DONE "stopped after step %" PRId64 ", saved; go on with: ./run resume %s",
                     status->step, s->run_dir);
        else
            snprintf(out, SB_REQUEST_MAX, SB_REQUEST_DONE "stopped; the trainer %.400s before it saved; %s",
                     s->lost[0] ? s->lost : "had not been started", way);
        break;
    case STOPPED_AT_ONCE:
        snprintf(out, SB_REQUEST_MAX, SB_REQUEST_DONE "stopped at once, after step %" PRId64 "; %s",
                 status->step, way);
        break;
    case FAILED: snprintf(out, SB_REQUEST_MAX, SB_REQUEST_REFUSED "it failed: %s", s->reason); break;
    }
}

static void say_finished(supervisor *s)
{
    const int64_t bad = count_lines(s, "quarantine.jsonl");
    sb_screen_say(&s->screen, false, "done: %s/backbone.safetensors", s->run_dir);
    sb_screen_say(&s->screen, false,
                  "      metrics in %s/metrics.jsonl, checkpoints in %s/checkpoints, logs in %s/log",
                  s->run_dir, s->run_dir, s->run_dir);
    if (bad > 0)
        sb_screen_say(&s->screen, false, "      what could not be used, and why: %s/quarantine.jsonl",
                      s->run_dir);
}

/* The trainer, which was not asked, writes its status once a second, and its metrics after each step. */
static void catch_up(const supervisor *s, sb_status *status)
{
    const int64_t steps = count_lines(s, "metrics.jsonl");
    if (steps > status->step && steps <= status->steps)
        status->step = steps;
}

/* status.json, where the trainer could not write it, or knows less. */
static void correct_status(supervisor *s, sb_status *status)
{
    static const char *const phases[] = { [FINISHED] = "finished",
                                          [STOPPED] = "stopped",
                                          [STOPPED_AT_ONCE] = "stopped",
                                          [ALARMED] = "stopped",
                                          [FAILED] = "failed" };
    if (s->outcome != FAILED && s->outcome != ALARMED && strcmp(status->phase, phases[s->outcome]) == 0)
        return;
    if (s->outcome == ALARMED)
        snprintf(s->reason, sizeof s->reason, "%s at step %" PRId64 ": %s", status->alarm.name,
                 status->alarm.step, status->alarm.what);
    snprintf(status->phase, sizeof status->phase, "%s", phases[s->outcome]);
    snprintf(status->reason, sizeof status->reason, "%s", s->reason);
    sb_text_clean(status->reason);
    if (sb_status_write(s->run_dir, status) != 0)
        sb_screen_say(&s->screen, true, "run: %s", sb_error());
}

/* Starts what writes the report, and waits for it; a signal or the bound asks it to end, the next one ends
 * it. The run has ended as it has, whatever comes of this. False: it was not written. */
static bool write_report(supervisor *s)
{
    sb_child c = { .program = SB_REPORTER };
    sb_end end;
    uint64_t until = sb_now() + REPORT_NS;
    bool asked = false, silent = false; /* asked: to end, which removes what is half written */
    if (sb_child_start(&c, s->programs, s->run_dir) != 0)
        return false;
    while (!sb_child_ended(&c, log_of(s, &c), &end)) {
        struct pollfd fds[] = { { .fd = c.pidfd, .events = POLLIN },
                                { .fd = silent ? -1 : c.output, .events = POLLIN },
                                { .fd = c.killed ? -1 : s->signals, .events = POLLIN } };
        if (c.killed && sb_now() >= until)
            return false; /* it waits within the kernel */
        poll(fds, 3, (int)(TICK_NS / 1000000));
        hear(s);
        if (fds[1].revents)
            silent = !sb_log_take(log_of(s, &c), &c.begun, c.output, TAKEN_MAX);
        struct signalfd_siginfo info;
        const bool signalled = !c.killed && read(s->signals, &info, sizeof info) == (ssize_t)sizeof info;
        if (signalled || (!c.killed && sb_now() >= until)) {
            sb_child_signal(&c, asked ? SIGKILL : SIGTERM);
            asked = true;
            until = sb_now() + DIES_NS;
        }
    }
    return end.code == 0;
}

/* Says how the run ended: to the screen, to those that asked for a stop, and in status.json. Returns the exit
 * status. */
static int conclude(supervisor *s)
{
    sb_status status = { 0 };
    char answer[SB_REQUEST_MAX], name[32];
    s->screen.patience_ms = END_MS;
    show(s, true);
    sb_screen_close(&s->screen);
    for (int i = 0; i < CHILDREN; i++)
        if (s->children[i].pid > 0)
            sb_screen_say(&s->screen, true,
                          "run: %s (process %d) does not die of a SIGKILL: it waits for a device",
                          sb_child_name(&s->children[i], name), (int)s->children[i].pid);
    if (sb_status_read(s->run_dir, &status) != 0)
        status = (sb_status){ 0 };
    if (s->outcome == STOPPED_AT_ONCE)
        catch_up(s, &status);
    describe_end(s, &status, answer);
    correct_status(s, &status);
    const bool reported = s->outcome != STOPPED_AT_ONCE && write_report(s);
    hear(s);
    close(s->listener);
    for (int i = 0; i < s->stop_count; i++)
        sb_request_answer(s->stops[i], "%s", answer);
    if (s->outcome == FINISHED)
        say_finished(s);
    if (reported &&
        s->outcome != FAILED) /* nothing comes behind why it failed: a sweep reads the last line */
        sb_screen_say(&s->screen, false, "      report: %s/report.html", s->run_dir);
    if (s->outcome == STOPPED || s->outcome == STOPPED_AT_ONCE || s->outcome == ALARMED)
        sb_screen_say(&s->screen, false, "%s", answer + strlen(SB_REQUEST_DONE));
    return s->outcome == FINISHED  ? EXIT_SUCCESS
           : s->outcome == FAILED  ? EXIT_FAILURE
           : s->outcome == ALARMED ? SB_EXIT_ALARM
                                   : SB_EXIT_STOPPED;
}

int sb_supervise(const char *run_dir, const char *programs, int *ready)
{
    supervisor *s = sb_zeroed(1, sizeof *s, "the supervisor");
    if (!s)
        return -1;
    s->run_dir = run_dir;
    s->programs = programs;
    int rc = begin(s);
    if (rc == 0) {
        if (*ready >= 0) {
            (void)!write(*ready, "\n", 1);
            close(*ready);
            *ready = -1;
        }
        s->children[SB_TRAINER].program = SB_TRAINER;
        s->children[SB_AUGMENT].program = SB_AUGMENT;
        start(s, &s->children[SB_TRAINER]);
        if (s->phase == RUNS)
            start(s, &s->children[SB_AUGMENT]);
        s->children[SB_EVALUATOR].program = SB_EVALUATOR;
        if (s->phase == RUNS && s->evaluates)
            start(s, &s->children[SB_EVALUATOR]);
        scale(s);
        rc = run(s);
        if (rc == 0)
            rc = conclude(s);
    }
    for (int i = 0; i < SB_PROGRAMS; i++)
        sb_log_close(&s->logs[i]);
    free(s);
    return rc;
}
