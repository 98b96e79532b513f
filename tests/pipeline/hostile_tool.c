/* Sends to a live run what no program of ours sends: noise, damaged and outdated messages, wrong numbers of
 * parts, floods, and lies with true ids about work that others do.
 *
 *     hostile_tool noise RUN_DIR NAME SEED   thousands of messages from several connections to ipc/NAME
 *     hostile_tool lies RUN_DIR AUGMENT_PID  tells augment of every tile that is being decoded that its
 *                                            image cannot be used
 *     hostile_tool idle RUN_DIR [PID START]  joins as a loader, itself or in the name of a process with that
 *                                            start time, takes work and never does it, until it is killed
 *                                            or refused
 *     hostile_tool claim RUN_DIR PID START   joins the trainer as augment in the name of that process */
#include <limits.h>
#include <zmq.h>

#include "proto/process.h"
#include "proto/request.h"
#include "proto/ring.h"
#include "proto/rundir.h"
#include "proto/socket.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"
#include "tests/pipeline/segments.h"

#define CONNECTIONS 4
#define ROUNDS 4000

static int complain(const char *what)
{
    fprintf(stderr, "hostile_tool: %s: %s\n", what, sb_error());
    return 1;
}

/* A socket of our own, without the limits of proto/socket.c. */
static void *open_dealer(void *context, const char *run_dir, const char *name)
{
    char endpoint[PATH_MAX];
    int none = 0, much = 100000;
    void *socket = zmq_socket(context, ZMQ_DEALER);
    snprintf(endpoint, sizeof endpoint, "ipc://%s/ipc/%s", run_dir, name);
    if (!socket || zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) != 0 ||
        zmq_setsockopt(socket, ZMQ_SNDHWM, &much, sizeof much) != 0 || zmq_connect(socket, endpoint) != 0) {
        fprintf(stderr, "hostile_tool: %s: %s\n", endpoint, zmq_strerror(errno));
        exit(1);
    }
    return socket;
}

static int noise(const char *run_dir, const char *name, uint64_t seed)
{
    static uint8_t data[FUZZ_MAX], other[SB_MESSAGE_MAX];
    void *context = zmq_ctx_new(), *socket[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++)
        socket[i] = open_dealer(context, run_dir, name);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        sb_random r;
        sb_random_init(&r, seed, SB_RANDOM_EVALUATE, round, 0, 0);
        size_t bytes = make_frame(sb_random_below(&r, FRAMES), sb_random_below(&r, 2), data);
        const fuzz_seed piece = { other, make_frame(sb_random_below(&r, FRAMES), false, other) };
        uint32_t kind = sb_random_below(&r, 16);
        if (kind < 8) { /* damaged */
            fuzz_damage(&r, data, &bytes, &piece);
        } else if (kind < 11) { /* noise, sometimes longer than any message */
            bytes = sb_random_below(&r, kind == 8 ? SB_MESSAGE_MAX + 2000 : 64);
            for (size_t i = 0; i < bytes; i++)
                data[i] = (uint8_t)sb_random_u32(&r);
        } else if (kind < 13) { /* another version */
            data[1] = (uint8_t)(SB_MESSAGE_VERSION + 1 + sb_random_below(&r, 100));
        } /* else: sound, but for another segment and another process */
        void *to = socket[sb_random_below(&r, CONNECTIONS)];
        for (uint32_t parts = kind == 15 ? 1 + sb_random_below(&r, 5) : 1; parts > 0; parts--)
            zmq_send(to, data, parts % 2 ? bytes : 0, (parts > 1 ? ZMQ_SNDMORE : 0) | ZMQ_DONTWAIT);
        if (round % 500 == 499)
            usleep(20000); /* so that more of it arrives than fits a queue */
    }
    usleep(100000);
    for (int i = 0; i < CONNECTIONS; i++)
        zmq_close(socket[i]);
    zmq_ctx_term(context);
    return 0;
}

static void pack_done(msgpack_sbuffer *out, const sb_ring *ring, uint32_t incarnation, uint32_t slot,
                      const sb_slot_meta *meta)
{
    msgpack_packer p;
    out->size = 0;
    msgpack_packer_init(&p, out, msgpack_sbuffer_write);
    msgpack_pack_array(&p, 11);
    msgpack_pack_int(&p, SB_MESSAGE_VERSION);
    msgpack_pack_int(&p, SB_MESSAGE_DONE);
    msgpack_pack_uint64(&p, ring->segment.ticket.id);
    msgpack_pack_uint32(&p, incarnation);
    msgpack_pack_uint32(&p, slot);
    msgpack_pack_uint64(&p, meta->sample);
    msgpack_pack_uint32(&p, meta->image);
    msgpack_pack_uint32(&p, 1); /* the image cannot be used */
    msgpack_pack_uint64(&p, 1);
    msgpack_pack_uint64(&p, 1);
    msgpack_pack_str(&p, 3);
    msgpack_pack_str_body(&p, "lie", 3);
}

static int lies(const char *run_dir, int pid)
{
    sb_ring ring;
    sb_segment_ticket ticket;
    if (find_segment(&ticket, pid, SB_SEGMENT_TILES) != 0 ||
        sb_ring_join(&ring, SB_SEGMENT_TILES, &ticket) != 0)
        return complain("lies");
    void *context = zmq_ctx_new(), *socket = open_dealer(context, run_dir, "augment");
    msgpack_sbuffer message;
    msgpack_sbuffer_init(&message);
    int told = 0;
    for (int tries = 0; tries < 20000 && told < 200; tries++) {
        for (uint32_t slot = 0; slot < ring.count; slot++) {
            sb_slot_word word = sb_ring_look(&ring, slot);
            if (word.state != SB_SLOT_WRITING)
                continue;
            pack_done(&message, &ring, word.incarnation, slot, sb_ring_meta(&ring, slot));
            told += zmq_send(socket, message.data, message.size, ZMQ_DONTWAIT) > 0;
        }
        usleep(50);
    }
    usleep(50000);
    msgpack_sbuffer_destroy(&message);
    zmq_close(socket);
    zmq_ctx_term(context);
    sb_ring_close(&ring);
    return 0;
}

/* Says who it is while the run lives; augment kills what hangs before. 3: refused. */
static int join(const char *run_dir, const char *owner, uint32_t role, const sb_process *as)
{
    sb_socket socket;
    sb_message m;
    if (sb_socket_connect(&socket, run_dir, owner) != 0)
        return complain("joining");
    const sb_message hello = { .type = SB_MESSAGE_HELLO,
                               .hello = { .role = role, .pid = as->pid, .start = as->start } };
    int refused = 0;
    for (; sb_request_heard(run_dir) && !refused; usleep(100000)) {
        int rc = sb_socket_send(&socket, NULL, &hello) != 0
                     ? -1
                     : sb_socket_receive(&socket, NULL, &m, 100, NULL, 0);
        if (rc < 0)
            return complain("joining");
        refused = rc == 1 && m.type == SB_MESSAGE_REFUSE;
    }
    if (refused)
        printf("refused: %s\n", m.refuse.reason);
    sb_socket_close(&socket);
    return refused ? 3 : 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "noise") == 0)
        return noise(argv[2], argv[3], strtoull(argv[4], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "lies") == 0)
        return lies(argv[2], (int)strtol(argv[3], NULL, 10));
    sb_process as;
    if (argc == 3 && strcmp(argv[1], "idle") == 0)
        return sb_process_self(&as) != 0 ? complain("idle") : join(argv[2], "augment", SB_ROLE_LOADER, &as);
    if (argc == 5)
        as = (sb_process){ .pid = (pid_t)strtol(argv[3], NULL, 10), .start = strtoull(argv[4], NULL, 10) };
    if (argc == 5 && strcmp(argv[1], "idle") == 0)
        return join(argv[2], "augment", SB_ROLE_LOADER, &as);
    if (argc == 5 && strcmp(argv[1], "claim") == 0)
        return join(argv[2], "trainer", SB_ROLE_AUGMENT, &as);
    fprintf(stderr, "usage: hostile_tool noise RUN_DIR NAME SEED | lies RUN_DIR AUGMENT_PID | idle RUN_DIR "
                    "[PID START] |\n"
                    "                    claim RUN_DIR PID START\n");
    return 2;
}
