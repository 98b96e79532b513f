/* socket.h: the ZeroMQ sockets, set up in one place.
 *
 * An owner binds a ROUTER, a joiner connects a DEALER; the socket files lie in the run directory's ipc/ (mode
 * 0700) and are reached as /proc/self/fd/N/NAME, so that the 107 bytes of a socket path are never too few.
 * The caller holds the run's lock before it binds, because binding an ipc path takes it over silently. Every
 * socket: LINGER 0, sends never block (a full or vanished peer drops the message, which changes nothing),
 * MAXMSGSIZE SB_MESSAGE_MAX, IMMEDIATE on connectors, MANDATORY on routers. */
#ifndef SB_PROTO_SOCKET_H
#define SB_PROTO_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

#define SB_PEER_MAX 32

/* A peer of a ROUTER: the routing id that ZeroMQ gave it. */
typedef struct {
    uint8_t id[SB_PEER_MAX];
    size_t bytes;
} sb_peer;

/* Of the same connection? The ids are the ROUTER's own, so that nobody can send in another's name. */
bool sb_peer_same(const sb_peer *a, const sb_peer *b);

typedef struct {
    void *context;
    void *socket;
    int directory; /* descriptor of ipc/ */
    int router;
    uint64_t refused; /* messages that did not decode */
} sb_socket;

int sb_socket_bind(sb_socket *out, const char *run_dir, const char *name);
int sb_socket_connect(sb_socket *out, const char *run_dir, const char *name);
void sb_socket_close(sb_socket *socket);

/* Sends a message (to: NULL on a DEALER). 0 if sent or dropped because the peer is not there; -1 only for a
 * real fault. */
int sb_socket_send(sb_socket *socket, const sb_peer *to, const sb_message *message);

/* Waits at most timeout_ms (0: not at all, -1: for ever) for a message, or until one of the extra descriptors
 * `fds` is readable. 1: *out (and *from on a ROUTER) is set. 0: time out, a signal, a readable descriptor, or
 * a message that was refused (counted). Each call is a sign of life (alive.h). */
int sb_socket_receive(sb_socket *socket, sb_peer *from, sb_message *out, int timeout_ms, const int *fds,
                      int fd_count);

#endif
