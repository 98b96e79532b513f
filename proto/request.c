/* request.c: see request.h. */
#include "proto/request.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/rundir.h"

#define NAME "supervisor"
#define BACKLOG 64

/* The socket's address, by way of a descriptor of ipc/, since the path itself may be longer than an address.
 * Returns that descriptor. */
static int find_address(const char *run_dir, struct sockaddr_un *out)
{
    char path[PATH_MAX];
    if (sb_rundir_path(path, run_dir, "ipc") != 0)
        return -1;
    const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return sb_fail_errno("opening %s", path);
    *out = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/" NAME, directory);
    return directory;
}

static int make_socket(void)
{
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? sb_fail_errno("making a socket") : fd;
}

int sb_request_listen(const char *run_dir)
{
    struct sockaddr_un address;
    const int directory = find_address(run_dir, &address);
    if (directory < 0)
        return -1;
    int fd = make_socket();
    if (fd >= 0 && ((unlinkat(directory, NAME, 0) != 0 && errno != ENOENT) ||
                    bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
                    fchmodat(directory, NAME, 0600, 0) != 0 || listen(fd, BACKLOG) != 0)) {
        sb_fail_errno("listening on %s/ipc/" NAME, run_dir);
        close(fd);
        fd = -1;
    }
    close(directory);
    return fd;
}

int sb_request_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

/* 1: a line of text. 0: nothing came yet. -1: an end, or something else. */
static int take(int fd, char text[SB_REQUEST_MAX])
{
    const ssize_t got = recv(fd, text, SB_REQUEST_MAX, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0 || got == SB_REQUEST_MAX)
        return -1;
    text[got] = '\0';
    sb_text_clean(text);
    return 1;
}

int sb_request_read(int asker, char text[SB_REQUEST_MAX]) { return take(asker, text); }

void sb_request_answer(int asker, const char *format, ...)
{
    char text[SB_REQUEST_MAX];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) > 0)
        (void)!send(asker, text, strlen(text), MSG_NOSIGNAL);
    va_end(arguments);
    close(asker);
}

/* As sb_request_connect. *full: it lives, but more wait than may. */
static int reach(const char *run_dir, bool *full)
{
    struct sockaddr_un address;
    *full = false;
    const int directory = find_address(run_dir, &address);
    if (directory < 0)
        return -1;
    const int fd = make_socket();
    int error = 0;
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        error = errno;
    close(directory);
    if (error == 0)
        return fd;
    close(fd);
    *full = error == EAGAIN;
    errno = error;
    return error == ENOENT || error == ECONNREFUSED ? sb_fail("%s is not running", run_dir)
                                                    : sb_fail_errno("%s: asking its supervisor", run_dir);
}

int sb_request_connect(const char *run_dir)
{
    bool full;
    return reach(run_dir, &full);
}

int sb_request_send(int fd, const char *text)
{
    const size_t length = strlen(text);
    if (length >= SB_REQUEST_MAX)
        return sb_fail("a request of %zu bytes: at most %d are taken", length, SB_REQUEST_MAX - 1);
    return send(fd, text, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : sb_fail_errno("asking");
}

int sb_request_wait(int fd, int timeout_ms, char answer[SB_REQUEST_MAX])
{
    struct pollfd readable = { .fd = fd, .events = POLLIN };
    const int ready = poll(&readable, 1, timeout_ms);
    if (ready < 0 && errno != EINTR)
        return sb_fail_errno("waiting for the supervisor");
    const int rc = ready > 0 ? take(fd, answer) : 0;
    return rc < 0 ? sb_fail("the supervisor has ended without an answer") : rc;
}

bool sb_request_heard(const char *run_dir)
{
    bool full;
    const int fd = reach(run_dir, &full);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || full;
}

int sb_request_look(const char *run_dir, int timeout_ms, sb_request_state *out)
{
    char text[SB_REQUEST_MAX];
    const int fd = sb_request_connect(run_dir);
    if (fd < 0)
        return -1;
    int rc = sb_request_send(fd, "status") == 0 ? sb_request_wait(fd, timeout_ms, text) : -1;
    close(fd);
    if (rc == 0)
        return sb_fail("%s: its supervisor has not answered for %d s: it may be stopped", run_dir,
                       timeout_ms / 1000);
    if (rc < 0)
        return sb_context("%s", run_dir);
    if (sscanf(text, SB_REQUEST_DONE "%31s %" SCNd64 " %" SCNd64 " %" SCNd64, out->phase, &out->since,
               &out->quiet, &out->silent) != 4)
        return sb_fail("%s: its supervisor answers `%s`", run_dir, text);
    return 0;
}
