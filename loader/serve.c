/* serve.c: see serve.h. */
#include "loader/serve.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "loader/index/index.h"
#include "loader/readers/decoder.h"
#include "proto/error.h"
#include "proto/hello.h"
#include "proto/process.h"
#include "proto/ring.h"
#include "proto/socket.h"

#define HELLO_MS 500
#define WANT_MS 200
#define AWAY_US 200000
#define LOOKS 16 /* files of which one is there if the data are */

/* What is at work, for the handler: the slot that is written, and the decoder. */
static sb_slot_meta *volatile current;
static sb_decoder *volatile current_decoder;

/* The decoder crashed, or augment says that it hangs. A hang while a read is under way counts for nothing: a
 * disk that does not answer is not the file's fault. (In a read that the kernel never ends this handler does
 * not run at all.) */
static void on_fault(int number)
{
    const bool reading = current_decoder && sb_decoder_reads(current_decoder);
    if (current && !(number == SB_SIGNAL_HUNG && reading))
        current->fault = number;
    raise(number); /* SA_RESETHAND: now it kills */
}

static int install_fault_handler(void)
{
    const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP /* g_error */, SB_SIGNAL_HUNG };
    static char stack[1 << 16]; /* of its own: the decoder may have used up the thread's */
    const stack_t other = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction action = { .sa_handler = on_fault,
                                .sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_ONSTACK) };
    if (sigaltstack(&other, NULL) != 0)
        return sb_fail_errno("a stack for signal handlers");
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], &action, NULL) != 0)
            return sb_fail_errno("installing signal handlers");
    return 0;
}

typedef struct {
    sb_data_keys data;
    sb_loader_keys keys;
    sb_index index;
    size_t largest, beside; /* sb_index_largest, sb_index_beside */
    sb_decoder *decoder;
    sb_socket socket;
    sb_ring ring;
    int owner; /* pidfd of augment, -1: not joined */
    uint32_t incarnation;
} loader;

static void leave(loader *l)
{
    sb_ring_close(&l->ring);
    if (l->owner >= 0)
        close(l->owner);
    l->owner = -1;
}

static int on_welcome(loader *l, const sb_message *m)
{
    sb_process owner = { .pid = m->welcome.pid, .start = m->welcome.start };
    int pidfd = sb_process_open(&owner);
    if (pidfd < 0)
        return 0; /* it is gone already: say hello again */
    size_t bytes = (size_t)l->data.tile * (size_t)l->data.tile * (size_t)l->data.channels;
    if (m->welcome.segment_count != 1 ||
        sb_ring_join(&l->ring, SB_SEGMENT_TILES, &m->welcome.segments[0]) != 0) {
        bool gone = sb_process_gone(pidfd);
        close(pidfd);
        return gone ? 0 : sb_context("tile ring");
    }
    if (l->ring.stride < bytes) {
        close(pidfd);
        return sb_fail("the tile ring's slots have %zu bytes, a tile needs %zu", l->ring.stride, bytes);
    }
    l->owner = pidfd;
    l->incarnation = m->welcome.incarnation;
    return 0;
}

/* Of decoded images. Enough for a window of the largest, so that each is decoded once an epoch, if this part
 * of the memory allows it beside the loader itself and what its decoder works in, which may be the image once
 * more (progressive JPEG, interlaced PNG). At least the largest image: what the index has is decoded. memory:
 * 0: nobody has said. */
static size_t cache_bytes(const loader *l, uint64_t memory)
{
    const size_t window = (size_t)l->data.window < l->index.count ? (size_t)l->data.window : l->index.count,
                 whole = window * l->largest, beside = l->beside + l->largest,
                 most = l->keys.cache_mb > 0 ? (size_t)l->keys.cache_mb << 20
                        : memory == 0        ? sb_decoder_most()
                        : memory > beside    ? (size_t)memory - beside
                                             : 0,
                 bytes = whole < most ? whole : most;
    return bytes > l->largest ? bytes : l->largest;
}

/* Can a byte of the file be read? */
static bool can_be_read(const char *path)
{
    char byte;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const bool read = fd >= 0 && pread(fd, &byte, 1, 0) == 1;
    if (fd >= 0)
        close(fd);
    return read;
}

/* Whether the data can be seen: the image itself, or any of some others. A disk on a network that is away
 * leaves nothing, or an empty folder. */
static bool is_there(const loader *l, const sb_image *image)
{
    char path[PATH_MAX];
    bool there = can_be_read(sb_index_path_of(&l->index, image, path));
    for (uint32_t i = 0; !there && i < LOOKS; i++) {
        const uint32_t other = (uint32_t)((uint64_t)i * l->index.count / LOOKS);
        there = sb_index_check_row(&l->index, other) == 0 &&
                can_be_read(sb_index_path_of(&l->index, &l->index.images[other], path));
    }
    return there;
}

static void wait_for_data(const loader *l, const sb_image *image)
{
    if (!is_there(l, image))
        sb_note("data.path = %s is away: waiting for it", l->data.path);
    while (!is_there(l, image) && !sb_stop_requested())
        usleep(AWAY_US);
}

/* Decodes the tile of *meta. As sb_decoder_tile; but data that are away (a disk on a network) are waited for.
 * Since they may be back when that is looked for, what has failed is tried once more. */
static int decode(loader *l, const sb_image *image, sb_slot_meta *meta, void *tile, sb_message *done)
{
    char path[PATH_MAX];
    const sb_decode_source source = sb_index_source(&l->index, image, path);
    for (bool again = false;; again = true) {
        current = meta;
        const int bad = sb_decoder_tile(l->decoder, &source, meta->left, meta->top, meta->side, tile,
                                        &done->done.read_ns, &done->done.decode_ns);
        current = NULL;
        if (bad != SB_DECODE_AWAY || (again && is_there(l, image)) || sb_stop_requested())
            return bad;
        wait_for_data(l, image);
    }
}

static int on_work(loader *l, const sb_message *m)
{
    uint64_t segment = l->ring.segment.ticket.id;
    if (l->owner < 0 || m->work.segment != segment)
        return 0;
    if (m->work.image >= l->index.count || m->work.side != l->data.tile)
        return sb_fail("augment asks for image %" PRIu32 " of %" PRIu32
                       ", tile of %d: is it of the same run?",
                       m->work.image, l->index.count, (int)m->work.side);
    if (sb_index_check_row(&l->index, m->work.image) != 0)
        return sb_context("index.bin");
    if (!sb_ring_claim(&l->ring, m->work.slot, m->work.generation, l->incarnation))
        return 0; /* somebody else has it, or the order is old */
    const sb_image *image = &l->index.images[m->work.image];
    sb_slot_meta *meta = sb_ring_meta(&l->ring, m->work.slot);
    *meta = (sb_slot_meta){ .sample = m->work.sample,
                            .image = m->work.image,
                            .file = image->file,
                            .left = m->work.left,
                            .top = m->work.top,
                            .side = m->work.side,
                            .width = m->work.side,
                            .height = m->work.side,
                            .channels = l->data.channels,
                            .label = image->label };
    sb_message done = { .type = SB_MESSAGE_DONE };
    done.done.segment = segment;
    done.done.incarnation = l->incarnation;
    done.done.slot = m->work.slot;
    done.done.sample = m->work.sample;
    done.done.image = m->work.image;
    sb_decoder_bound(l->decoder, cache_bytes(l, m->work.memory));
    const int bad = decode(l, image, meta, sb_ring_data(&l->ring, m->work.slot), &done);
    if (bad < 0)
        return -1;
    if (bad > 0 && sb_stop_requested())
        return 0; /* it may have waited for the data: another loader says whether the tile is bad */
    if (bad > 0) {
        done.done.bad = (uint32_t)bad;
        snprintf(done.done.reason, sizeof done.done.reason, "%.*s", SB_MESSAGE_TEXT - 1, sb_error());
        sb_ring_abandon(&l->ring, m->work.slot, m->work.generation, l->incarnation);
    } else {
        sb_ring_publish(&l->ring, m->work.slot, m->work.generation, l->incarnation);
    }
    return sb_socket_send(&l->socket, NULL, &done);
}

static int want(loader *l)
{
    const sb_message m = { .type = SB_MESSAGE_WANT,
                           .want = { .segment = l->ring.segment.ticket.id, .incarnation = l->incarnation } };
    return sb_socket_send(&l->socket, NULL, &m);
}

static bool not_stopped(void *context)
{
    (void)context;
    return !sb_stop_requested();
}

/* Orders of the owner until it is gone: 0. Asks where there are none. */
static int serve_owner(loader *l)
{
    while (!sb_stop_requested()) {
        sb_message m;
        int rc = sb_socket_receive(&l->socket, NULL, &m, WANT_MS, &l->owner, 1);
        if (rc < 0)
            return -1;
        if (sb_process_gone(l->owner))
            break;
        if (rc == 0)
            rc = want(l);
        else if (m.type == SB_MESSAGE_WORK)
            rc = on_work(l, &m);
        else if (m.type == SB_MESSAGE_REFUSE)
            rc = sb_fail("augment refuses: %s", m.refuse.reason);
        if (rc < 0)
            return -1;
    }
    leave(l);
    return 0;
}

static int serve_loop(loader *l)
{
    sb_message m;
    int rc;
    while ((rc = sb_hello(&l->socket, SB_ROLE_LOADER, "augment", HELLO_MS, not_stopped, NULL, &m)) == 1)
        if (on_welcome(l, &m) != 0 || (l->owner >= 0 && serve_owner(l) != 0))
            return -1;
    return rc;
}

static int open_index(loader *l, const char *run_dir)
{
    if (sb_index_open(&l->index, run_dir, &l->data) != 0)
        return -1;
    l->largest = sb_index_largest(&l->index, l->data.channels);
    l->beside = sb_index_beside(&l->index);
    return 0;
}

int sb_serve(const char *run_dir)
{
    loader l = { .owner = -1, .socket = { .directory = -1 } };
    int rc = -1;
    if (sb_stop_install() == 0 && sb_process_die_with_supervisor() == 0 && install_fault_handler() == 0 &&
        sb_loader_keys_of_run(run_dir, &l.data, &l.keys) == 0 && open_index(&l, run_dir) == 0 &&
        sb_decoder_create(&l.decoder, &l.data.samples, cache_bytes(&l, 0), l.data.untrusted) == 0 &&
        sb_socket_connect(&l.socket, run_dir, "augment") == 0) {
        current_decoder = l.decoder;
        rc = serve_loop(&l);
        current_decoder = NULL;
    }
    leave(&l);
    sb_socket_close(&l.socket);
    sb_decoder_destroy(&l.decoder);
    sb_index_free(&l.index);
    return rc;
}
