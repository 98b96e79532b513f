/* watch.c: see watch.h.
 *
 * One thread and one poll: keys, signals (by signalfd) and the time of the next look. */
#include "supervisor/watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/process.h"
#include "proto/program.h"
#include "supervisor/draw.h"
#include "supervisor/overview.h"
#include "supervisor/state.h"
#include "supervisor/window.h"
#include "trainer/alarm.h"

#define LOOK_NS UINT64_C(1000000000) /* between two looks */
#define ANSWER_MS 2000               /* that a supervisor may take, where nobody waits with a key */
#define REDRAW ('L' - '@')           /* Ctrl-L */

/* ---- signals ---------------------------------------------------------------------------------------------- */

/* A descriptor of those that end the program, unless they are ignored, and of a change of the window's size.
 * They wait there, so that the terminal is given back first. */
static int take_signals(sigset_t *taken)
{
    const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    sigemptyset(taken);
    sigaddset(taken, SIGWINCH);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct sigaction action;
        if (sigaction(ends[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(taken, ends[i]);
    }
    if (sigprocmask(SIG_BLOCK, taken, NULL) != 0)
        return sb_fail_errno("blocking signals");
    const int fd = signalfd(-1, taken, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? sb_fail_errno("signalfd") : fd;
}

/* One that came and ends the program; 0: none. */
static int end_signal(int signals)
{
    struct signalfd_siginfo info;
    int end = 0;
    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGWINCH && end == 0)
            end = (int)info.ssi_signo;
    return end;
}

/* ---- in a window ------------------------------------------------------------------------------------------ */

/* Until it is left. *end: the signal that ends it; 0: a key. */
static int watch_window(const char *run_dir, int signals, int *end)
{
    sb_gatherer *gatherer;
    sb_frame frame = { .utf8 = sb_window_utf8() };
    struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
    const sb_overview *overview = NULL;
    uint64_t look_at = 0;
    bool more = false, leaves = false, anew = false;
    int rc = sb_gatherer_create(&gatherer, run_dir);
    if (rc != 0)
        return -1;
    while (rc == 0 && !leaves) {
        int width, height;
        if (!overview || more || sb_now() >= look_at) {
            overview = sb_gatherer_look(gatherer, &more);
            look_at = sb_now() + LOOK_NS;
        }
        sb_window_size(&width, &height);
        rc = sb_frame_resize(&frame, width, height);
        if (rc != 0)
            break;
        sb_draw(&frame, overview);
        sb_window_show(&frame, anew);
        anew = false;
        const uint64_t now = sb_now();
        if (poll(fds, 2, more || now >= look_at ? 0 : (int)((look_at - now) / 1000000) + 1) < 0 &&
            errno != EINTR)
            rc = sb_fail_errno("poll");
        for (int key; (key = sb_window_key()) >= 0;) {
            leaves = leaves || key == 'q' || key == 'Q';
            anew = anew || key == REDRAW;
        }
        *end = end_signal(signals);
        leaves = leaves || *end || (fds[0].revents & (POLLHUP | POLLERR)); /* the terminal is gone */
    }
    sb_frame_free(&frame);
    sb_gatherer_destroy(&gatherer);
    return rc;
}

/* ---- in lines --------------------------------------------------------------------------------------------- */

static int status_of(const sb_state *s)
{
    switch (s->kind) {
    case SB_STATE_ALARMED: return SB_EXIT_ALARM;
    case SB_STATE_FAILED:
    case SB_STATE_KILLED:
    case SB_STATE_GONE: return EXIT_FAILURE;
    default: return EXIT_SUCCESS;
    }
}

/* Until the run has ended, or nobody reads it. A signal ends the program at once, wherever it waits. */
static int watch_lines(const char *run_dir)
{
    const struct timespec pause = { .tv_sec = LOOK_NS / UINT64_C(1000000000) };
    char said[sizeof((sb_state *)NULL)->text] = "", shown[256] = "", line[256];
    for (;;) {
        sb_state s;
        sb_state_look(run_dir, ANSWER_MS, &s);
        if (strcmp(said, s.text) != 0)
            printf("%s: %s\n", run_dir, s.text);
        snprintf(said, sizeof said, "%s", s.text);
        if (s.known && s.status.steps > 0 && sb_status_line(&s.status, line, sizeof line) == 0 &&
            strcmp(shown, line) != 0) {
            printf("%s\n", line);
            snprintf(shown, sizeof shown, "%s", line);
        }
        if (!sb_program_flush() || (s.kind != SB_STATE_LIVES && s.kind != SB_STATE_MUTE))
            return status_of(&s);
        nanosleep(&pause, NULL);
    }
}

int sb_watch_run(const char *run_dir)
{
    sigset_t taken;
    int rc = 0, end = 0;
    const int signals = take_signals(&taken);
    if (signals < 0)
        return -1;
    const bool windowed = sb_window_open(SB_DRAW_WIDTH, SB_DRAW_HEIGHT);
    if (windowed) {
        rc = watch_window(run_dir, signals, &end);
        sb_window_close();
    }
    close(signals);
    if (sigprocmask(SIG_UNBLOCK, &taken, NULL) == 0 && end && end != SIGINT) /* Ctrl-C is a key that leaves */
        raise(end);
    return windowed ? rc : watch_lines(run_dir);
}
