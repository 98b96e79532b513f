/* socket.c: see socket.h. */
#include "proto/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/alive.h"
#include "proto/error.h"
#include "proto/rundir.h"

#define FDS_MAX 8
#define QUEUE 1000 /* messages; what does not fit is dropped */

static int set(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int open_socket(sb_socket *out, const char *run_dir, const char *name, bool router)
{
    *out = (sb_socket){ .directory = -1, .router = router };
    char directory[PATH_MAX], endpoint[128];
    if (sb_rundir_path(directory, run_dir, "ipc") != 0)
        return -1;
    out->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (out->directory < 0)
        return sb_fail_errno("opening %s", directory);
    snprintf(endpoint, sizeof endpoint, "ipc:///proc/self/fd/%d/%s", out->directory, name);
    out->context = zmq_ctx_new();
    out->socket = out->context ? zmq_socket(out->context, router ? ZMQ_ROUTER : ZMQ_DEALER) : NULL;
    int64_t most = SB_MESSAGE_MAX;
    if (!out->socket || set(out->socket, ZMQ_LINGER, 0) != 0 || set(out->socket, ZMQ_SNDHWM, QUEUE) != 0 ||
        set(out->socket, ZMQ_RCVHWM, QUEUE) != 0 ||
        zmq_setsockopt(out->socket, ZMQ_MAXMSGSIZE, &most, sizeof most) != 0 ||
        set(out->socket, router ? ZMQ_ROUTER_MANDATORY : ZMQ_IMMEDIATE, 1) != 0 ||
        (!router && (set(out->socket, ZMQ_RECONNECT_IVL, 20) != 0 ||
                     set(out->socket, ZMQ_RECONNECT_IVL_MAX, 200) != 0)) ||
        (router ? zmq_bind(out->socket, endpoint) : zmq_connect(out->socket, endpoint)) != 0) {
        sb_fail("%s %s/%s: %s", router ? "binding" : "connecting to", directory, name, zmq_strerror(errno));
        sb_socket_close(out);
        return -1;
    }
    return 0;
}

int sb_socket_bind(sb_socket *out, const char *run_dir, const char *name)
{
    return open_socket(out, run_dir, name, true);
}

int sb_socket_connect(sb_socket *out, const char *run_dir, const char *name)
{
    return open_socket(out, run_dir, name, false);
}

void sb_socket_close(sb_socket *s)
{
    if (s->socket)
        zmq_close(s->socket);
    if (s->context)
        zmq_ctx_term(s->context);
    if (s->directory >= 0 && (s->socket || s->context))
        close(s->directory);
    *s = (sb_socket){ .directory = -1 };
}

bool sb_peer_same(const sb_peer *a, const sb_peer *b)
{
    return a->bytes == b->bytes && a->bytes <= sizeof a->id && memcmp(a->id, b->id, a->bytes) == 0;
}

/* The peer is not there, or its queue is full: the message is lost, which changes nothing. */
static bool dropped(int error) { return error == EAGAIN || error == EHOSTUNREACH || error == EINTR; }

int sb_socket_send(sb_socket *s, const sb_peer *to, const sb_message *message)
{
    uint8_t bytes[SB_MESSAGE_MAX];
    int length = sb_message_pack(message, bytes);
    if (length < 0)
        return -1;
    if (s->router && zmq_send(s->socket, to->id, to->bytes, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return dropped(errno) ? 0 : sb_fail("sending: %s", zmq_strerror(errno));
    if (zmq_send(s->socket, bytes, (size_t)length, ZMQ_DONTWAIT) < 0)
        return dropped(errno) ? 0 : sb_fail("sending: %s", zmq_strerror(errno));
    return 0;
}

/* One part into `out`; *bytes its true length. 1, 0 nothing there, -1. */
static int receive_part(void *socket, void *out, size_t room, size_t *bytes, bool *more)
{
    int got = zmq_recv(socket, out, room, ZMQ_DONTWAIT), flag = 0;
    size_t size = sizeof flag;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : sb_fail("receiving: %s", zmq_strerror(errno));
    if (zmq_getsockopt(socket, ZMQ_RCVMORE, &flag, &size) != 0)
        return sb_fail("receiving: %s", zmq_strerror(errno));
    *bytes = (size_t)got;
    *more = flag != 0;
    return 1;
}

int sb_socket_receive(sb_socket *s, sb_peer *from, sb_message *out, int timeout_ms, const int *fds,
                      int fd_count)
{
    zmq_pollitem_t items[1 + FDS_MAX] = { { .socket = s->socket, .events = ZMQ_POLLIN } };
    for (int i = 0; i < fd_count && i < FDS_MAX; i++)
        items[1 + i] = (zmq_pollitem_t){ .fd = fds[i], .events = ZMQ_POLLIN };
    sb_alive_show();
    int ready = zmq_poll(items, 1 + fd_count, timeout_ms);
    if (ready < 0)
        return errno == EINTR ? 0 : sb_fail("polling: %s", zmq_strerror(errno));
    if (!(items[0].revents & ZMQ_POLLIN))
        return 0;
    uint8_t bytes[SB_MESSAGE_MAX];
    size_t length = 0;
    bool more = false, sound = true;
    int rc;
    if (s->router) {
        rc = receive_part(s->socket, from->id, sizeof from->id, &from->bytes, &more);
        if (rc <= 0)
            return rc;
        sound = from->bytes <= sizeof from->id && more;
    }
    if (!s->router || more) {
        rc = receive_part(s->socket, bytes, sizeof bytes, &length, &more);
        if (rc <= 0)
            return rc;
    }
    while (more) { /* no message has another part */
        uint8_t rest[64];
        size_t ignored;
        sound = false;
        rc = receive_part(s->socket, rest, sizeof rest, &ignored, &more);
        if (rc <= 0)
            break;
    }
    if (!sound || length > sizeof bytes || sb_message_unpack(out, bytes, length) != 0) {
        s->refused++;
        if (s->refused <= 3) /* enough to tell somebody who looks; a flood of them must not fill the log */
            sb_note("a message was refused: %s", sound ? sb_error() : "wrong number of parts");
        return 0;
    }
    return 1;
}
