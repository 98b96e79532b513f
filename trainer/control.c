/* control.c: see control.h. */
#include "trainer/control.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/message.h"
#include "proto/process.h"
#include "proto/socket.h"

#define STATUS_NS 1000000000ull
#define READERS_MAX 64  /* evaluators */
#define BUSY_SHARE 0.02 /* a trainer that waits less than this is itself the slowest stage */

/* What augment reports, and what it was at the last status. */
typedef struct {
    uint64_t read_ns, decode_ns, augment_ns, waited_ns, total_ns;
} stages;

typedef struct {
    sb_process process;
    int pidfd;
} reader;

struct sb_control {
    char run_dir[PATH_MAX];
    sb_ring *rings[SB_MESSAGE_SEGMENTS];
    int ring_count;
    sb_segment_ticket broadcasts[SB_MESSAGE_SEGMENTS];
    int broadcast_count;
    size_t memory; /* of all loaders */
    sb_socket socket;
    pthread_t thread;
    int to_thread; /* eventfd: the end */
    int to_main;   /* eventfd: a doorbell, or a fault */
    atomic_bool ending;
    atomic_bool failed;
    atomic_int readers;       /* of the thread's list */
    char fault[SB_ERROR_MAX]; /* written before `failed` */

    pthread_mutex_t lock; /* the four below */
    uint64_t first;
    sb_status status;
    uint64_t waited_ns, total_ns;

    /* The thread's own. */
    bool augment_known;
    sb_peer augment_peer;
    sb_process augment;
    int augment_pidfd;
    uint32_t augment_incarnation;
    uint32_t loaders, quarantined, away, tiles_ready, tiles;
    stages now, before;
    uint64_t augment_begun_ns; /* since when augment counts; 0: none has come yet */
    reader reader[READERS_MAX];
};

static int ring_event(int fd)
{
    uint64_t one = 1;
    return write(fd, &one, sizeof one) == sizeof one || errno == EAGAIN ? 0 : sb_fail_errno("eventfd");
}

static void clear_event(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got; /* nothing there is fine */
}

/* ---- messages ------------------------------------------------------------------------------------------ */

static int refuse(sb_control *c, const sb_peer *peer, const char *reason)
{
    sb_message m = { .type = SB_MESSAGE_REFUSE };
    snprintf(m.refuse.reason, sizeof m.refuse.reason, "%s", reason);
    return sb_socket_send(&c->socket, peer, &m);
}

static int welcome(sb_control *c, const sb_peer *peer, uint32_t incarnation)
{
    sb_process self;
    if (sb_process_self(&self) != 0)
        return -1;
    sb_message m = { .type = SB_MESSAGE_WELCOME };
    m.welcome.incarnation = incarnation;
    m.welcome.pid = self.pid;
    m.welcome.start = self.start;
    pthread_mutex_lock(&c->lock);
    m.welcome.first = c->first;
    pthread_mutex_unlock(&c->lock);
    if (incarnation) {
        m.welcome.memory = c->memory;
        for (int i = 0; i < c->ring_count; i++)
            m.welcome.segments[m.welcome.segment_count++] = c->rings[i]->segment.ticket;
    } else {
        for (int i = 0; i < c->broadcast_count; i++)
            m.welcome.segments[m.welcome.segment_count++] = c->broadcasts[i];
    }
    return sb_socket_send(&c->socket, peer, &m);
}

/* The process that held the view rings' WRITING slots is gone: they are free again. */
static void forget_augment(sb_control *c)
{
    for (int i = 0; i < c->ring_count; i++)
        sb_ring_reclaim(c->rings[i], c->augment_incarnation);
    close(c->augment_pidfd);
    c->augment_known = false;
}

static void forget_readers(sb_control *c)
{
    int kept = 0, count = atomic_load(&c->readers);
    for (int i = 0; i < count; i++) {
        if (sb_process_gone(c->reader[i].pidfd))
            close(c->reader[i].pidfd);
        else
            c->reader[kept++] = c->reader[i];
    }
    atomic_store(&c->readers, kept);
}

static int on_evaluator(sb_control *c, const sb_peer *peer, const sb_process *process)
{
    int count = atomic_load(&c->readers);
    for (int i = 0; i < count; i++)
        if (c->reader[i].process.pid == process->pid && c->reader[i].process.start == process->start)
            return welcome(c, peer, 0); /* it repeats itself: the welcome was lost */
    if (count == READERS_MAX)
        return refuse(c, peer, "the run has 64 evaluators already");
    int pidfd = sb_process_open(process);
    if (pidfd < 0)
        return refuse(c, peer, sb_error());
    c->reader[count] = (reader){ .process = *process, .pidfd = pidfd };
    atomic_store(&c->readers, count + 1);
    return welcome(c, peer, 0);
}

static int on_hello(sb_control *c, const sb_peer *peer, const sb_message *m)
{
    sb_process process = { .pid = m->hello.pid, .start = m->hello.start };
    if (m->hello.role == SB_ROLE_EVALUATOR)
        return on_evaluator(c, peer, &process);
    if (m->hello.role != SB_ROLE_AUGMENT)
        return refuse(c, peer, "the trainer takes augment and evaluators");
    if (c->augment_known && c->augment.pid == process.pid && c->augment.start == process.start) {
        c->augment_peer = *peer;
        return welcome(c, peer, c->augment_incarnation);
    }
    if (c->augment_known && sb_process_gone(c->augment_pidfd))
        forget_augment(c);
    if (c->augment_known)
        return refuse(c, peer, "the run has an augment process already");
    int pidfd = sb_process_open_sibling(&process, "sb_augment"); /* another would keep the true one out */
    if (pidfd < 0)
        return refuse(c, peer, sb_error());
    int64_t incarnation = sb_ring_incarnation(c->rings[0]); /* one number for all view rings */
    if (incarnation < 0) {
        close(pidfd);
        return -1;
    }
    c->augment_known = true;
    c->augment_peer = *peer;
    c->augment = process;
    c->augment_pidfd = pidfd;
    c->augment_incarnation = (uint32_t)incarnation;
    c->now.read_ns = c->now.decode_ns = c->now.augment_ns = 0; /* its counts begin again */
    c->before.read_ns = c->before.decode_ns = c->before.augment_ns = 0;
    c->augment_begun_ns = sb_now();
    return welcome(c, peer, c->augment_incarnation);
}

static int on_ready(sb_control *c, const sb_peer *peer, const sb_message *m)
{
    if (!c->augment_known || !sb_peer_same(&c->augment_peer, peer) ||
        m->ready.segment != c->rings[0]->segment.ticket.id)
        return 0;
    c->now.read_ns = m->ready.read_ns;
    c->now.decode_ns = m->ready.decode_ns;
    c->now.augment_ns = m->ready.augment_ns;
    c->loaders = m->ready.loaders;
    c->quarantined = m->ready.quarantined;
    c->away = m->ready.away;
    const bool sound = m->ready.tiles_ready <= m->ready.tiles;
    c->tiles_ready = sound ? m->ready.tiles_ready : 0;
    c->tiles = sound ? m->ready.tiles : 0; /* unknown */
    return ring_event(c->to_main);
}

/* ---- status -------------------------------------------------------------------------------------------- */

/* The stage with the largest share of its own time in use since the last status. */
static const char *slowest(const sb_control *c, double elapsed_ns)
{
    double total = (double)(c->now.total_ns - c->before.total_ns),
           waited = (double)(c->now.waited_ns - c->before.waited_ns);
    if (total <= 0 || waited / total < BUSY_SHARE)
        return "train";
    double loaders = c->loaders > 0 ? c->loaders : 1;
    double read = (double)(c->now.read_ns - c->before.read_ns) / (elapsed_ns * loaders);
    double decode = (double)(c->now.decode_ns - c->before.decode_ns) / (elapsed_ns * loaders);
    double augment = (double)(c->now.augment_ns - c->before.augment_ns) / elapsed_ns;
    if (augment >= read + decode)
        return "augment";
    return read > decode ? "read" : "decode";
}

/* Seconds that a stage has worked in a second since augment said hello, from when on it counts. */
static double share_of(const sb_control *c, uint64_t ns)
{
    const uint64_t begun = c->augment_begun_ns;
    return begun > 0 && sb_now() > begun ? (double)ns / (double)(sb_now() - begun) : 0;
}

/* How many views wait for the trainer, in all view rings, and for how many there is room beside those that it
 * has in hand. */
static void count_views(const sb_control *c, sb_status *out)
{
    out->views = out->views_ready = 0;
    for (int i = 0; i < c->ring_count; i++) {
        for (uint32_t slot = 0; slot < c->rings[i]->count; slot++) {
            const sb_slot_state state = sb_ring_look(c->rings[i], slot).state;
            out->views += state != SB_SLOT_READING;
            out->views_ready += state == SB_SLOT_READY;
        }
    }
}

static int write_status(sb_control *c, const char *phase, double elapsed_ns)
{
    pthread_mutex_lock(&c->lock);
    sb_status status = c->status;
    c->now.waited_ns = c->waited_ns;
    c->now.total_ns = c->total_ns;
    pthread_mutex_unlock(&c->lock);
    if (phase)
        snprintf(status.phase, sizeof status.phase, "%s", phase);
    status.waited = c->now.total_ns ? (double)c->now.waited_ns / (double)c->now.total_ns : 0;
    status.read = share_of(c, c->now.read_ns);
    status.decode = share_of(c, c->now.decode_ns);
    status.augment = share_of(c, c->now.augment_ns);
    status.loaders = (int)c->loaders;
    status.quarantined = c->quarantined;
    status.away = c->away;
    status.tiles_ready = c->tiles_ready;
    status.tiles = c->tiles;
    count_views(c, &status);
    snprintf(status.bottleneck, sizeof status.bottleneck, "%s", slowest(c, elapsed_ns));
    if (c->now.total_ns != c->before.total_ns)
        c->before = c->now;
    return sb_status_write(c->run_dir, &status);
}

/* ---- the thread ---------------------------------------------------------------------------------------- */

static int turn(sb_control *c)
{
    int fds[2] = { c->to_thread, c->augment_known ? c->augment_pidfd : -1 };
    sb_peer peer;
    sb_message m;
    int rc = sb_socket_receive(&c->socket, &peer, &m, 200, fds, c->augment_known ? 2 : 1);
    if (rc == 1 && m.type == SB_MESSAGE_HELLO)
        rc = on_hello(c, &peer, &m);
    else if (rc == 1 && m.type == SB_MESSAGE_READY)
        rc = on_ready(c, &peer, &m);
    if (rc < 0)
        return -1;
    if (c->augment_known && sb_process_gone(c->augment_pidfd))
        forget_augment(c);
    forget_readers(c);
    return 0;
}

static void *listen_thread(void *argument)
{
    sb_control *c = argument;
    uint64_t written = sb_now();
    while (!atomic_load(&c->ending)) {
        int rc = turn(c);
        uint64_t now = sb_now();
        if (rc == 0 && now - written >= STATUS_NS) {
            rc = write_status(c, NULL, (double)(now - written));
            written = now;
        }
        if (rc != 0) {
            snprintf(c->fault, sizeof c->fault, "%s", sb_error());
            atomic_store(&c->failed, true);
            ring_event(c->to_main);
            break;
        }
    }
    return NULL;
}

int sb_control_start(sb_control **out, const char *run_dir, sb_ring *const *rings, int ring_count,
                     const sb_segment_ticket *broadcasts, int broadcast_count, uint64_t first, size_t memory,
                     const sb_status *status)
{
    sb_control *c = sb_zeroed(1, sizeof *c, "the control thread");
    if (!c)
        return -1;
    snprintf(c->run_dir, sizeof c->run_dir, "%s", run_dir);
    memcpy(c->rings, rings, (size_t)ring_count * sizeof *rings);
    c->ring_count = ring_count;
    if (broadcast_count > 0)
        memcpy(c->broadcasts, broadcasts, (size_t)broadcast_count * sizeof *broadcasts);
    c->broadcast_count = broadcast_count;
    c->first = first;
    c->memory = memory;
    c->status = *status;
    pthread_mutex_init(&c->lock, NULL);
    c->to_thread = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->to_main = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = c->to_thread < 0 || c->to_main < 0 ? sb_fail_errno("eventfd")
                                                : sb_socket_bind(&c->socket, run_dir, "trainer");
    if (rc == 0) {
        rc = write_status(c, NULL, 1e9);
        if (rc == 0 && (errno = pthread_create(&c->thread, NULL, listen_thread, c)) != 0)
            rc = sb_fail_errno("starting the control thread");
        if (rc != 0)
            sb_socket_close(&c->socket);
    }
    if (rc != 0) {
        if (c->to_thread >= 0)
            close(c->to_thread);
        if (c->to_main >= 0)
            close(c->to_main);
        free(c);
        return -1;
    }
    *out = c;
    return 0;
}

void sb_control_stop(sb_control **control, const char *phase)
{
    sb_control *c = *control;
    if (!c)
        return;
    atomic_store(&c->ending, true);
    ring_event(c->to_thread);
    pthread_join(c->thread, NULL);
    if (write_status(c, phase, 1e9) != 0)
        sb_note("%s", sb_error());
    if (c->augment_known)
        close(c->augment_pidfd);
    for (int i = 0; i < atomic_load(&c->readers); i++)
        close(c->reader[i].pidfd);
    sb_socket_close(&c->socket);
    close(c->to_thread);
    close(c->to_main);
    pthread_mutex_destroy(&c->lock);
    free(c);
    *control = NULL;
}

int sb_control_wait(sb_control *c, int timeout_ms)
{
    struct pollfd bell = { .fd = c->to_main, .events = POLLIN };
    if (poll(&bell, 1, timeout_ms) < 0 && errno != EINTR)
        return sb_fail_errno("poll");
    clear_event(c->to_main);
    if (atomic_load(&c->failed))
        return sb_fail("control thread: %s", c->fault);
    return 0;
}

int sb_control_readers(const sb_control *c) { return atomic_load(&c->readers); }

void sb_control_progress(sb_control *c, uint64_t first, const sb_status *status, uint64_t waited_ns,
                         uint64_t total_ns)
{
    pthread_mutex_lock(&c->lock);
    c->first = first;
    c->status = *status;
    c->waited_ns = waited_ns;
    c->total_ns = total_ns;
    pthread_mutex_unlock(&c->lock);
}
