/* dispatch.c: see dispatch.h. */
#include "augment/dispatch.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "augment/unusable.h"
#include "proto/error.h"
#include "proto/layout.h"
#include "proto/memory.h"
#include "proto/message.h"
#include "proto/process.h"
#include "proto/socket.h"
#include "proto/still.h"

#define LOADERS_MAX 256
#define IN_FLIGHT 2             /* tiles a loader has at once */
#define ATTEMPTS_MAX 10000      /* draws of a sample */
#define REPEAT_NS 1000000000ull /* an order that was not taken up is given again after this */
#define LOOK_NS 250000000ull    /* a loader is looked at this often, or eight times in loader.timeout */

/* A loader that hangs has this long to mark its file and die, before it is killed; a killed process that is
 * not gone after that keeps its slots for ever. */
#define MARK_WAIT_NS 1000000000ull
#define KILL_WAIT_NS 5000000000ull

typedef enum { JOB_NONE, JOB_WAITING, JOB_ASSIGNED, JOB_READY, JOB_TAKEN } job_state;

typedef struct {
    job_state state;
    uint32_t slot;
    uint64_t sample;
    uint32_t first, attempt; /* the first that is not known to be bad; that of the tile */
    sb_tile tile;
    int loader;           /* ASSIGNED: to whom */
    uint64_t assigned_at; /* ns */
} job;

/* HUNG: it was told so, to mark its file and die. LOST: it cannot be killed, its slots are written off. Only
 * one AT_WORK gets orders. */
typedef enum { LOADER_NONE, LOADER_AT_WORK, LOADER_HUNG, LOADER_KILLED, LOADER_LOST } loader_state;

typedef struct {
    loader_state state;
    sb_peer peer;
    sb_process process;
    int pidfd;
    uint32_t incarnation;
    int in_flight;
    sb_still still; /* since the last order or report, or since it was told to die, or killed */
} loader;

struct sb_dispatch {
    const sb_augment_keys *keys;
    const sb_index *index;
    sb_order *order;
    sb_dispatch_made made;
    void *context;
    const char *run_dir;
    sb_ring ring;
    sb_socket socket;
    job *jobs;
    int job_count;
    uint32_t spares[SB_TILE_SPARES];
    int spare_count;
    uint64_t next; /* the next sample to start */
    size_t memory; /* of all loaders */
    loader loaders[LOADERS_MAX];
    sb_unusable *unusable;
    uint32_t *home; /* [images], by the first row of a file: incarnation of the loader that has it decoded; 0
                       none */
    sb_dispatch_counts counts;
};

/* ---- what cannot be used ------------------------------------------------------------------------------- */

/* Into out[PATH_MAX]; returns it. */
static const char *path_of(const sb_dispatch *d, uint32_t image, char *out)
{
    return sb_index_path_of(d->index, &d->index->images[image], out);
}

/* The row that stands for all rows of the image's file and page: what happens to one happens to all. */
static uint32_t file_of(const sb_dispatch *d, uint32_t image) { return d->index->images[image].file; }

/* Draws the job's tile: of its attempts from `first` on the first that can be used, or will be waited for. */
static int job_draw(sb_dispatch *d, job *j, uint32_t first)
{
    const uint64_t now = sb_now();
    for (j->attempt = j->first = first; j->attempt < ATTEMPTS_MAX; j->attempt++) {
        if (sb_order_sample(d->order, j->sample, j->attempt, &j->tile) != 0)
            return -1;
        if (sb_unusable_tile_state(d->unusable, &j->tile, now) != SB_TILE_OUT)
            return 0;
    }
    return sb_fail("no usable image found for sample %" PRIu64 " in %d draws", j->sample, ATTEMPTS_MAX);
}

/* ---- create -------------------------------------------------------------------------------------------- */

int sb_dispatch_create(sb_dispatch **out, const char *run_dir, const sb_augment_keys *keys,
                       const sb_index *index, sb_order *order, uint64_t first, size_t memory,
                       sb_dispatch_made made, void *context)
{
    sb_dispatch *d = sb_zeroed(1, sizeof *d, "the dispatch of tiles");
    if (!d)
        return -1;
    *d = (sb_dispatch){ .keys = keys,
                        .index = index,
                        .order = order,
                        .made = made,
                        .context = context,
                        .next = first,
                        .memory = memory,
                        .run_dir = run_dir };
    d->socket.directory = -1;
    size_t bytes = (size_t)keys->data.tile * (size_t)keys->data.tile * (size_t)keys->data.channels;
    const uint32_t all = sb_layout_tiles(keys->loader.slots, keys->trainer.batch, bytes);
    const int slots = (int)all - SB_TILE_SPARES;
    d->job_count = slots;
    d->jobs = sb_zeroed((size_t)slots, sizeof *d->jobs, "the tiles that are handed out");
    d->home = sb_zeroed(index->count, sizeof *d->home, "the loaders of images");
    if (!d->jobs || !d->home || sb_unusable_create(&d->unusable, run_dir, index, keys) != 0) {
        sb_dispatch_destroy(&d);
        return -1;
    }
    for (int i = 0; i < slots; i++)
        d->jobs[i].slot = (uint32_t)i;
    for (d->spare_count = 0; d->spare_count < SB_TILE_SPARES; d->spare_count++)
        d->spares[d->spare_count] = (uint32_t)(slots + d->spare_count);
    if (sb_ring_create(&d->ring, SB_SEGMENT_TILES, all, bytes, 0) != 0 ||
        sb_socket_bind(&d->socket, run_dir, "augment") != 0) {
        sb_dispatch_destroy(&d);
        return sb_context("tile ring of %d slots (loader.slots)", slots);
    }
    *out = d;
    return 0;
}

void sb_dispatch_destroy(sb_dispatch **dispatch)
{
    sb_dispatch *d = *dispatch;
    if (!d)
        return;
    for (int i = 0; i < LOADERS_MAX; i++)
        if (d->loaders[i].state != LOADER_NONE)
            close(d->loaders[i].pidfd);
    sb_socket_close(&d->socket);
    sb_ring_close(&d->ring);
    free(d->jobs);
    sb_unusable_destroy(&d->unusable);
    free(d->home);
    free(d);
    *dispatch = NULL;
}

/* ---- loaders come and go ------------------------------------------------------------------------------- */

static int refuse(sb_dispatch *d, const sb_peer *peer, const char *reason)
{
    sb_message reply = { .type = SB_MESSAGE_REFUSE };
    snprintf(reply.refuse.reason, sizeof reply.refuse.reason, "%s", reason);
    return sb_socket_send(&d->socket, peer, &reply);
}

static int welcome(sb_dispatch *d, const loader *l)
{
    sb_process self;
    if (sb_process_self(&self) != 0)
        return -1;
    sb_message reply = { .type = SB_MESSAGE_WELCOME };
    reply.welcome.incarnation = l->incarnation;
    reply.welcome.pid = self.pid;
    reply.welcome.start = self.start;
    reply.welcome.first = d->next;
    reply.welcome.segment_count = 1;
    reply.welcome.segments[0] = d->ring.segment.ticket;
    return sb_socket_send(&d->socket, &l->peer, &reply);
}

/* What tells when a loader is gone. Since one that hangs is killed, only a loader that this run's supervisor
 * started is believed. (Loaders of another machine would be something else to watch and to end, known to this
 * function, watch_loader and end_loader alone.) */
static int open_loader(const sb_process *process) { return sb_process_open_sibling(process, "sb_loader"); }

static int on_hello(sb_dispatch *d, const sb_peer *peer, const sb_message *m)
{
    if (m->hello.role != SB_ROLE_LOADER)
        return refuse(d, peer, "augment takes loaders only");
    sb_process process = { .pid = m->hello.pid, .start = m->hello.start };
    loader *free_place = NULL;
    for (int i = 0; i < LOADERS_MAX; i++) {
        loader *l = &d->loaders[i];
        if (l->state != LOADER_NONE && l->process.pid == process.pid && l->process.start == process.start) {
            l->peer = *peer; /* it repeats itself: the welcome was lost, or it connected anew */
            return welcome(d, l);
        }
        if (l->state == LOADER_NONE && !free_place)
            free_place = l;
    }
    if (!free_place)
        return refuse(d, peer, "there are 256 loaders already");
    int pidfd = open_loader(&process);
    if (pidfd < 0)
        return refuse(d, peer, sb_error());
    int64_t incarnation = sb_ring_incarnation(&d->ring);
    if (incarnation < 0) {
        close(pidfd);
        return -1;
    }
    *free_place = (loader){ .state = LOADER_AT_WORK,
                            .peer = *peer,
                            .process = process,
                            .pidfd = pidfd,
                            .incarnation = (uint32_t)incarnation };
    sb_still_begin(&free_place->still);
    d->counts.loaders++;
    return welcome(d, free_place);
}

static loader *find_loader(sb_dispatch *d, uint32_t incarnation)
{
    for (int i = 0; i < LOADERS_MAX; i++)
        if (d->loaders[i].state != LOADER_NONE && d->loaders[i].incarnation == incarnation)
            return &d->loaders[i];
    return NULL;
}

static job *find_job(sb_dispatch *d, uint32_t slot, uint64_t sample)
{
    for (int i = 0; i < d->job_count; i++)
        if (d->jobs[i].state == JOB_ASSIGNED && d->jobs[i].slot == slot && d->jobs[i].sample == sample)
            return &d->jobs[i];
    return NULL;
}

static void job_unassign(sb_dispatch *d, job *j)
{
    loader *l = &d->loaders[j->loader];
    if (l->in_flight > 0)
        l->in_flight--;
    j->state = JOB_WAITING;
}

/* The words say which orders are done. */
static void collect(sb_dispatch *d)
{
    for (int i = 0; i < d->job_count; i++) {
        job *j = &d->jobs[i];
        if (j->state == JOB_ASSIGNED && sb_ring_look(&d->ring, j->slot).state == SB_SLOT_READY) {
            job_unassign(d, j);
            j->state = JOB_READY;
            sb_unusable_decoded(d->unusable, &j->tile);
        }
    }
}

/* The loader that says it has this incarnation, if it is its own. */
static loader *sender(sb_dispatch *d, const sb_peer *peer, uint32_t incarnation)
{
    loader *l = find_loader(d, incarnation);
    return l && sb_peer_same(&l->peer, peer) ? l : NULL;
}

static int on_done(sb_dispatch *d, const sb_peer *peer, const sb_message *m)
{
    loader *l = sender(d, peer, m->done.incarnation);
    if (!l || m->done.segment != d->ring.segment.ticket.id)
        return 0;
    l->still.ns = 0;
    d->counts.read_ns += m->done.read_ns;
    d->counts.decode_ns += m->done.decode_ns;
    d->counts.decoded +=
        m->done.read_ns > 0 && m->done.image < d->index->count &&
        !d->index->images[m->done.image].random_access; /* a tile from the cache is not read */
    job *j = find_job(d, m->done.slot, m->done.sample);
    if (!m->done.bad || !j || m->done.image != j->tile.image || &d->loaders[j->loader] != l)
        return 0;       /* a published slot speaks for itself (collect) */
    job_unassign(d, j); /* if its image is out, it is drawn again when it is next handed out */
    if (m->done.bad == SB_DECODE_IMAGE)
        return sb_unusable_image(d->unusable, &j->tile, m->done.reason);
    if (m->done.bad == SB_DECODE_AWAY)
        return sb_unusable_away(d->unusable, &j->tile, m->done.reason, sb_now());
    return sb_unusable_tile(d->unusable, &j->tile, m->done.reason) != 0 ? -1 : job_draw(d, j, j->attempt + 1);
}

/* A loader died on the job's tile, and `how`. */
static int on_fault(sb_dispatch *d, job *j, const char *how)
{
    const int out = sb_unusable_fault(d->unusable, &j->tile, how);
    return out > 0 ? job_draw(d, j, j->attempt + 1) : out;
}

static int on_gone(sb_dispatch *d, int number)
{
    loader *l = &d->loaders[number];
    int rc = 0;
    collect(d); /* what it finished counts */
    for (int i = 0; i < d->job_count; i++) {
        job *j = &d->jobs[i];
        if (j->state != JOB_ASSIGNED || j->loader != number)
            continue;
        sb_slot_word word = sb_ring_look(&d->ring, j->slot);
        sb_slot_meta *meta = sb_ring_meta(&d->ring, j->slot);
        if (word.state == SB_SLOT_WRITING && meta->fault != 0) {
            int fault = meta->fault;
            meta->fault =
                0; /* a later holder that is killed before it writes its own must not be taken for a crash */
            char how[128], path[PATH_MAX];
            if (fault == SB_SIGNAL_HUNG)
                snprintf(how, sizeof how, "hung for %g s (loader.timeout)", d->keys->loader.timeout);
            else
                snprintf(how, sizeof how, "was killed by its own signal %d (%s)", fault, strsignal(fault));
            sb_note("loader %d %s on %s", (int)l->process.pid, how, path_of(d, j->tile.image, path));
            job_unassign(d, j);
            if (rc == 0)
                rc = on_fault(d, j, how);
            continue;
        }
        job_unassign(d, j);
    }
    sb_ring_reclaim(&d->ring, l->incarnation);
    close(l->pidfd);
    l->state = LOADER_NONE;
    d->counts.loaders--;
    return rc;
}

/* The process is asked to die and does not: its slots are lost for ever, spare ones take over. */
static int write_off(sb_dispatch *d, int number)
{
    loader *l = &d->loaders[number];
    for (int i = 0; i < d->job_count; i++) {
        job *j = &d->jobs[i];
        if (j->state != JOB_ASSIGNED || j->loader != number)
            continue;
        if (d->spare_count == 0)
            return sb_fail("loader %d hangs in the kernel and cannot be killed, and no spare slot is left",
                           (int)l->process.pid);
        sb_note("loader %d cannot be killed: a slot is written off, %d spare ones left", (int)l->process.pid,
                d->spare_count - 1);
        job_unassign(d, j);
        j->slot = d->spares[--d->spare_count];
    }
    return 0;
}

/* The path of the image that a loader was told first of those it has, into out[PATH_MAX]; returns it. */
static const char *oldest_order(const sb_dispatch *d, int number, char *out)
{
    const job *oldest = NULL;
    for (int i = 0; i < d->job_count; i++) {
        const job *j = &d->jobs[i];
        if (j->state == JOB_ASSIGNED && j->loader == number &&
            (!oldest || j->assigned_at < oldest->assigned_at))
            oldest = j;
    }
    return oldest ? path_of(d, oldest->tile.image, out) : "nothing";
}

/* A signal to a loader that is to die. */
static void end_loader(loader *l, loader_state state, int number)
{
    if (sb_process_signal(l->pidfd, number) != 0)
        sb_note("%s", sb_error());
    l->state = state;
    l->still.ns = 0;
}

/* A loader that hangs is told so and, if that does not end it (it is stopped, or hangs in the kernel),
 * killed, and in the end written off. */
static int watch_loader(sb_dispatch *d, int number)
{
    loader *l = &d->loaders[number];
    if (sb_process_gone(l->pidfd))
        return on_gone(d, number);
    const uint64_t timeout = (uint64_t)(d->keys->loader.timeout * 1e9), often = timeout / 8;
    sb_still_look(&l->still, l->process.pid, often < LOOK_NS ? often : LOOK_NS);
    const uint64_t still = l->still.ns;
    if (l->state == LOADER_AT_WORK && l->in_flight > 0 && still > timeout) {
        char path[PATH_MAX];
        sb_note("loader %d made no progress for %g s (loader.timeout) on %s and is killed",
                (int)l->process.pid, d->keys->loader.timeout, oldest_order(d, number, path));
        end_loader(l, LOADER_HUNG, SB_SIGNAL_HUNG);
    } else if (l->state == LOADER_HUNG && still > MARK_WAIT_NS) {
        end_loader(l, LOADER_KILLED, SIGKILL);
    } else if (l->state == LOADER_KILLED && still > KILL_WAIT_NS) {
        l->state = LOADER_LOST;
        return write_off(d, number);
    }
    return 0;
}

static int watch_loaders(sb_dispatch *d)
{
    for (int i = 0; i < LOADERS_MAX; i++)
        if (d->loaders[i].state != LOADER_NONE && watch_loader(d, i) != 0)
            return -1;
    return 0;
}

/* ---- jobs ---------------------------------------------------------------------------------------------- */

static int start_jobs(sb_dispatch *d)
{
    for (int i = 0; i < d->job_count; i++) {
        job *j = &d->jobs[i];
        if (j->state != JOB_NONE)
            continue;
        while (d->made(d->context, d->next))
            d->next++;
        j->sample = d->next++;
        if (job_draw(d, j, 0) != 0)
            return -1;
        j->state = JOB_WAITING;
    }
    return 0;
}

/* May any loader take this image, or is it decoded whole at one that is at work? */
static bool image_is_free(sb_dispatch *d, uint32_t file)
{
    const loader *home = d->home[file] ? find_loader(d, d->home[file]) : NULL;
    return d->index->images[file].random_access || !home || home->state != LOADER_AT_WORK ||
           (home->in_flight > 0 && home->still.ns > REPEAT_NS);
}

static int hand_out_one(sb_dispatch *d, int number, uint64_t now, bool *handed)
{
    loader *l = &d->loaders[number];
    job *best = NULL;
    bool best_is_own = false;
    for (int i = 0; i < d->job_count; i++) {
        job *j = &d->jobs[i];
        if (j->state != JOB_WAITING)
            continue;
        if (sb_unusable_tile_state(d->unusable, &j->tile, now) == SB_TILE_OUT &&
            job_draw(d, j, j->first) != 0)
            return -1;
        if (sb_unusable_tile_state(d->unusable, &j->tile, now) != SB_TILE_USABLE)
            continue;
        uint32_t file = file_of(d, j->tile.image);
        bool own = d->home[file] == l->incarnation;
        if (!own && (best_is_own || !image_is_free(d, file)))
            continue;
        if (!best || own > best_is_own || j->sample < best->sample) {
            best = j;
            best_is_own = own;
        }
    }
    *handed = best != NULL;
    if (!best)
        return 0;
    sb_message order = { .type = SB_MESSAGE_WORK };
    order.work.segment = d->ring.segment.ticket.id;
    order.work.slot = best->slot;
    order.work.generation = sb_ring_look(&d->ring, best->slot).generation;
    order.work.sample = best->sample;
    order.work.image = best->tile.image;
    order.work.left = best->tile.left;
    order.work.top = best->tile.top;
    order.work.side = d->keys->data.tile;
    order.work.memory = d->memory / (d->counts.loaders > 0 ? d->counts.loaders : 1);
    best->state = JOB_ASSIGNED;
    best->loader = number;
    best->assigned_at = now;
    if (l->in_flight++ == 0)
        l->still.ns = 0;
    d->home[file_of(d, best->tile.image)] = l->incarnation;
    return sb_socket_send(&d->socket, &l->peer, &order);
}

static int hand_out(sb_dispatch *d)
{
    uint64_t now = sb_now();
    for (int round = 0; round < IN_FLIGHT; round++) {
        for (int i = 0; i < LOADERS_MAX; i++) {
            bool handed = true;
            if (d->loaders[i].state == LOADER_AT_WORK && d->loaders[i].in_flight <= round &&
                hand_out_one(d, i, now, &handed) != 0)
                return -1;
        }
    }
    return 0;
}

/* Is there nothing to do but to wait for files that are away? */
static bool waits(const sb_dispatch *d)
{
    const uint64_t now = sb_now();
    int held = 0;
    for (int i = 0; i < d->job_count; i++) {
        const job *j = &d->jobs[i];
        if (j->state != JOB_WAITING)
            return false;
        held += sb_unusable_tile_state(d->unusable, &j->tile, now) == SB_TILE_WAITED_FOR;
    }
    return held > 0;
}

/* A loader that says it is idle has lost the orders whose slots nobody claimed. */
static void on_want(sb_dispatch *d, const sb_peer *peer, const sb_message *m)
{
    loader *l = sender(d, peer, m->want.incarnation);
    if (!l || m->want.segment != d->ring.segment.ticket.id)
        return;
    uint64_t now = sb_now();
    for (int i = 0; i < d->job_count; i++) {
        job *j = &d->jobs[i];
        if (j->state == JOB_ASSIGNED && &d->loaders[j->loader] == l && now - j->assigned_at > REPEAT_NS &&
            sb_ring_look(&d->ring, j->slot).state == SB_SLOT_FREE)
            job_unassign(d, j);
    }
}

int sb_dispatch_turn(sb_dispatch *d, int timeout_ms, int fd)
{
    sb_peer peer;
    sb_message message;
    for (int handled = 0; handled < 64; handled++) {
        int rc = sb_socket_receive(&d->socket, &peer, &message, handled == 0 ? timeout_ms : 0, &fd,
                                   fd >= 0 ? 1 : 0);
        if (rc < 0)
            return -1;
        if (rc == 0)
            break;
        if (message.type == SB_MESSAGE_HELLO)
            rc = on_hello(d, &peer, &message);
        else if (message.type == SB_MESSAGE_WANT)
            on_want(d, &peer, &message);
        else if (message.type == SB_MESSAGE_DONE)
            rc = on_done(d, &peer, &message);
        if (rc < 0)
            return -1;
    }
    collect(d);
    if (watch_loaders(d) != 0 || start_jobs(d) != 0 || sb_unusable_look(d->unusable, waits(d), sb_now()) != 0)
        return -1;
    return hand_out(d);
}

/* The consumer of the tile ring is this process itself, so its incarnation as a reader is 0xFFFFFF: the ring
 * dies with it. */
#define READER 0xFFFFFFu

bool sb_dispatch_take(sb_dispatch *d, sb_dispatch_tile *out)
{
    job *best = NULL;
    for (int i = 0; i < d->job_count; i++)
        if (d->jobs[i].state == JOB_READY && (!best || d->jobs[i].sample < best->sample))
            best = &d->jobs[i];
    if (!best ||
        !sb_ring_acquire(&d->ring, best->slot, sb_ring_look(&d->ring, best->slot).generation, READER))
        return false;
    const sb_slot_meta *meta = sb_ring_meta(&d->ring, best->slot);
    bool sound = meta->sample == best->sample && meta->image == best->tile.image &&
                 meta->left == best->tile.left && meta->top == best->tile.top &&
                 meta->width == d->keys->data.tile && meta->height == d->keys->data.tile &&
                 meta->channels == d->keys->data.channels;
    if (!sound) { /* what lies there is not what was ordered: order it again */
        sb_ring_release(&d->ring, best->slot, sb_ring_look(&d->ring, best->slot).generation, READER);
        best->state = JOB_WAITING;
        return false;
    }
    best->state = JOB_TAKEN;
    *out = (sb_dispatch_tile){ .job = (int)(best - d->jobs),
                               .sample = best->sample,
                               .meta = meta,
                               .pixels = sb_ring_data(&d->ring, best->slot) };
    return true;
}

int sb_dispatch_give_back(sb_dispatch *d, const sb_dispatch_tile *tile, bool made)
{
    job *j = &d->jobs[tile->job];
    uint32_t generation = sb_ring_look(&d->ring, j->slot).generation;
    if (!made) { /* the owner itself takes its reading slot back: READING -> READY */
        j->state = JOB_READY;
        return sb_ring_reclaim(&d->ring, READER) == 1
                   ? 0
                   : sb_fail("slot %" PRIu32 " of the tile ring was not held alone", j->slot);
    }
    if (!sb_ring_release(&d->ring, j->slot, generation, READER))
        return sb_fail("slot %" PRIu32 " of the tile ring was not held", j->slot);
    j->state = JOB_NONE;
    return 0;
}

void sb_dispatch_memory(const sb_dispatch *d, void **memory, size_t *bytes)
{
    *memory = d->ring.segment.mapping;
    *bytes = d->ring.segment.ticket.bytes;
}

void sb_dispatch_count(const sb_dispatch *d, sb_dispatch_counts *out)
{
    *out = d->counts;
    out->quarantined = sb_unusable_quarantined(d->unusable);
    out->away = sb_unusable_away_count(d->unusable);
    out->tiles = out->tiles_ready = 0;
    for (int i = 0; i < d->job_count; i++) {
        const sb_slot_state state = sb_ring_look(&d->ring, d->jobs[i].slot).state;
        out->tiles += state != SB_SLOT_READING;
        out->tiles_ready += state == SB_SLOT_READY;
    }
}
