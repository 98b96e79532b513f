/* request.h: how a run's supervisor is asked for something, and whether there is one.
 *
 * The supervisor listens on a socket in the run directory (ipc/supervisor; ipc/ has mode 0700, so that its
 * owner alone can ask). A connection carries one request and one answer, a line of text each. Whether a run
 * is alive is asked by connecting: nobody listens on what a supervisor left that was killed. So no lock is
 * taken to look, and no process number is believed. */
#ifndef SB_PROTO_REQUEST_H
#define SB_PROTO_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SB_REQUEST_MAX 1024 /* bytes of a request and of an answer, with the 0 behind them */

/* What an answer begins with. */
#define SB_REQUEST_DONE "done "
#define SB_REQUEST_REFUSED "refused "

/* The supervisor's side. Listens; who calls it holds the run's lock, since the socket of whoever listened
 * before is taken away. Returns a descriptor that does not block. */
int sb_request_listen(const char *run_dir);

/* The next that asks: a descriptor, which does not block; -1: there is none. */
int sb_request_accept(int listener);

/* 1: `text` is what was asked. 0: nothing came yet. -1: the asker has gone, or asks for too much. */
int sb_request_read(int asker, char text[SB_REQUEST_MAX]);

/* Answers and ends the connection. An asker that has gone gets nothing, which changes nothing. */
void sb_request_answer(int asker, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The other side. Connects: a descriptor; -1: the run has no supervisor, sb_error says so. */
int sb_request_connect(const char *run_dir);

/* Sends a request. */
int sb_request_send(int fd, const char *text);

/* Waits at most timeout_ms (-1: for as long as the supervisor lives) for the answer. 1: it is in `answer`; 0:
 * not yet; -1: the supervisor has ended without one. */
int sb_request_wait(int fd, int timeout_ms, char answer[SB_REQUEST_MAX]);

/* Has the run a supervisor? */
bool sb_request_heard(const char *run_dir);

/* What the supervisor answers to "status": "PHASE SINCE QUIET SILENT". */
typedef struct {
    char phase[32];        /* starting, training, waiting (for memory), stopping */
    int64_t since;         /* its start, in seconds since 1970 */
    int64_t quiet, silent; /* seconds without a step; without a sign of life of the trainer */
} sb_request_state;

/* A trainer that works shows a sign of life far more often: one that has not for so many seconds is stopped,
 * or hangs. */
#define SB_SILENT_S 10

/* -1: the run has no supervisor, or none that answers within timeout_ms. */
int sb_request_look(const char *run_dir, int timeout_ms, sb_request_state *out);

#endif
