/* screen.c: see screen.h. */
#include "supervisor/screen.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/process.h"

#define BAR 24
#define BAR_LEAST 8
#define PLAIN_NS UINT64_C(10000000000)
#define COLUMNS 80 /* of a window that does not say */

void sb_screen_open(sb_screen *s)
{
    const char *term = getenv("TERM");
    *s = (sb_screen){ .terminal = isatty(STDOUT_FILENO) && term && term[0] != '\0' &&
                                  strcmp(term, "dumb") != 0 };
}

/* Where it can be written at once. */
__attribute__((format(printf, 3, 4))) static void print(const sb_screen *s, int fd, const char *format, ...)
{
    struct pollfd room = { .fd = fd, .events = POLLOUT };
    va_list arguments;
    if (poll(&room, 1, s->patience_ms) != 1 || !(room.revents & POLLOUT))
        return;
    va_start(arguments, format);
    vdprintf(fd, format, arguments);
    va_end(arguments);
}

static void clear(sb_screen *s)
{
    if (s->shown && s->terminal)
        print(s, STDOUT_FILENO, "\r\033[K");
    s->shown = false;
}

void sb_screen_say(sb_screen *s, bool error, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    clear(s);
    print(s, error ? STDERR_FILENO : STDOUT_FILENO, "%s\n", text);
}

void sb_screen_fit(const sb_status *status, int columns, char out[SB_SCREEN_LINE])
{
    char line[256];
    const int room = columns - 1 < SB_SCREEN_LINE - 1 ? columns - 1 : SB_SCREEN_LINE - 1;
    out[0] = '\0';
    if (room < 1 || sb_status_line(status, line, sizeof line) != 0)
        return;
    for (char *part; (int)strlen(line) > room && (part = strstr(line, "  "));) {
        for (char *next; (next = strstr(part + 2, "  "));)
            part = next;
        *part = '\0';
    }
    int bar = room - (int)strlen(line) - 3; /* with "[", "] " */
    bar = bar > BAR ? BAR : bar;
    if (bar < BAR_LEAST) {
        snprintf(out, (size_t)room + 1, "%s", line);
        return;
    }
    const int full = status->steps > 0 ? (int)((double)status->step / (double)status->steps * bar) : 0;
    char *at = out;
    *at++ = '[';
    for (int i = 0; i < bar; i++)
        *at++ = i < full ? '#' : '.';
    snprintf(at, (size_t)(SB_SCREEN_LINE - (at - out)), "] %s", line);
}

void sb_screen_progress(sb_screen *s, const sb_status *status, bool last)
{
    char line[SB_SCREEN_LINE];
    struct winsize window;
    if (s->terminal) {
        const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
        sb_screen_fit(status, known ? window.ws_col : COLUMNS, line);
        print(s, STDOUT_FILENO, "\r%s\033[K", line);
        s->shown = true;
    } else if ((last || sb_now() - s->printed >= PLAIN_NS) &&
               sb_status_line(status, line, sizeof line) == 0) {
        print(s, STDOUT_FILENO, "%s\n", line);
        s->printed = sb_now();
    }
}

void sb_screen_close(sb_screen *s)
{
    if (s->terminal && s->shown)
        print(s, STDOUT_FILENO, "\n");
    s->shown = false;
}
