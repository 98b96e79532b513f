/* main.c of sb_augment: walks the sample order, has tiles decoded by loaders, makes their views and puts them
 * where the trainer finds them.
 *
 * One process for a trainer. It ends with its trainer: when the trainer is gone, it leaves with status 4 and
 * is started again. That costs little, because what it owns (the tile ring) can be made again at once. Which
 * samples are missing is read from the words of the view rings, so its own death costs at most the tile in
 * hand. Exit status: 0 asked to stop, 1 the run cannot go on, 4 the trainer is gone, 7 it cannot begin for
 * lack of the device's memory alone. */
#include <argp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "augment/dispatch.h"   /* sb_dispatch_* */
#include "augment/order.h"      /* sb_order_* */
#include "augment/view.h"       /* sb_view_draw */
#include "augment/viewer.h"     /* sb_viewer_* */
#include "kernels/open.h"       /* sb_device_* */
#include "loader/index/index.h" /* sb_index_read */
#include "proto/error.h"        /* sb_fail */
#include "proto/hello.h"        /* sb_hello */
#include "proto/layout.h"       /* sb_layout_* */
#include "proto/process.h"      /* sb_process_*, sb_stop_* */
#include "proto/program.h"      /* sb_program_* */
#include "proto/random.h"       /* sb_random_init */
#include "proto/ring.h"         /* sb_ring_* */
#include "proto/rundir.h"       /* sb_rundir_* */
#include "proto/socket.h"       /* sb_socket_* */

#define EXIT_TRAINER_GONE 4
#define EXIT_NO_ROOM 7
#define HELLO_MS 200

/* A tile whose views are being made, and the slots of the view rings that wait for them. */
typedef struct {
    sb_dispatch_tile tile;
    sb_spot held[SB_VIEWS_MAX];
    int count;
} job;

typedef struct {
    sb_augment_keys keys;
    sb_index index;
    sb_order *order;
    sb_dispatch *dispatch;
    sb_device *device;
    sb_viewer *viewer;
    job jobs[SB_VIEWER_DEPTH]; /* under way: jobs[ended % DEPTH] .. jobs[begun % DEPTH] */
    unsigned begun, ended;
    sb_socket trainer;
    int trainer_pidfd;
    uint32_t incarnation;
    sb_layout layout;
    sb_ring rings[SB_VIEWS_MAX]; /* of the layout's classes */
    uint64_t augment_ns;
    size_t memory; /* of all loaders */
} augment;

static const char *run_dir;
static bool only_check;

/* ---- the trainer's side -------------------------------------------------------------------------------- */

static bool not_stopped(void *context)
{
    (void)context;
    return !sb_stop_requested();
}

/* The views' sizes in the step of this sample, and where they lie. When they change a trainer ends, and this
 * process with it. */
static void lay_out(augment *a, uint64_t first)
{
    const sb_trainer_keys *t = &a->keys.trainer;
    const uint64_t step = first / ((uint64_t)t->batch * (uint64_t)t->accumulate);
    int sizes[SB_VIEWS_MAX];
    sb_view_sides_at(a->keys.views, a->keys.view_count, step > INT64_MAX ? INT64_MAX : (int64_t)step,
                     t->steps);
    for (int v = 0; v < a->keys.view_count; v++)
        sizes[v] = a->keys.views[v].side;
    sb_layout_make(&a->layout, sizes, a->keys.view_count, t->batch, t->chunk, a->keys.data.channels);
}

static void close_rings(augment *a)
{
    for (int c = 0; c < a->layout.class_count; c++)
        sb_ring_close(&a->rings[c]);
}

static int join_rings(augment *a, const sb_message *m)
{
    lay_out(a, m->welcome.first);
    if (m->welcome.segment_count != (uint32_t)a->layout.class_count)
        return sb_fail("the trainer has %u view rings, the configuration %d sizes of views",
                       m->welcome.segment_count, a->layout.class_count);
    for (int c = 0; c < a->layout.class_count; c++) {
        const sb_layout_class *k = &a->layout.classes[c];
        sb_ring *ring = &a->rings[c];
        if (sb_ring_join(ring, SB_SEGMENT_VIEWS, &m->welcome.segments[c]) != 0)
            return sb_context("view ring of size %d", k->size);
        if (ring->count != k->slots || ring->stride < k->bytes)
            return sb_fail("view ring of size %d has %u slots of %zu bytes, the configuration %u of %zu",
                           k->size, ring->count, ring->stride, k->slots, k->bytes);
    }
    return 0;
}

/* 1: joined. 0: the trainer that has answered is gone. -1. */
static int on_welcome(augment *a, const sb_message *m, uint64_t *first)
{
    const sb_process owner = { .pid = m->welcome.pid, .start = m->welcome.start };
    a->trainer_pidfd = sb_process_open(&owner);
    if (a->trainer_pidfd < 0)
        return 0;
    if (join_rings(a, m) != 0) {
        const bool gone = sb_process_gone(a->trainer_pidfd);
        close(a->trainer_pidfd);
        a->trainer_pidfd = -1;
        close_rings(a);
        return gone ? 0 : -1;
    }
    a->incarnation = m->welcome.incarnation;
    *first = m->welcome.first;
    a->memory = m->welcome.memory;
    return 1;
}

/* 1: joined, 0: asked to stop, -1: refused or broken. *first is the next sample that the trainer needs. */
static int join_trainer(augment *a, uint64_t *first)
{
    if (sb_socket_connect(&a->trainer, run_dir, "trainer") != 0)
        return -1;
    for (;;) {
        sb_message m;
        int rc = sb_hello(&a->trainer, SB_ROLE_AUGMENT, "the trainer", HELLO_MS, not_stopped, NULL, &m);
        if (rc != 1 || (rc = on_welcome(a, &m, first)) != 0)
            return rc;
    }
}

typedef enum { VIEWS_MADE, VIEWS_NEEDED, VIEWS_NO_ROOM } views_state;

/* MADE: every view lies READY (or was read already). NO_ROOM: a slot still holds an earlier sample. */
static views_state look(const augment *a, uint64_t sample)
{
    bool needed = false;
    for (int v = 0; v < a->layout.view_count; v++) {
        const sb_spot p = sb_layout_spot(&a->layout, v, sample);
        sb_slot_word word = sb_ring_look(&a->rings[p.class], p.slot);
        int32_t ahead = (int32_t)(word.generation - p.generation);
        if (ahead < 0)
            return VIEWS_NO_ROOM;
        needed |= ahead == 0 && word.state == SB_SLOT_FREE;
    }
    return needed ? VIEWS_NEEDED : VIEWS_MADE;
}

static bool views_made(void *context, uint64_t sample) { return look(context, sample) == VIEWS_MADE; }

/* ---- making views -------------------------------------------------------------------------------------- */

/* Starts the views of a tile that are still missing. */
static int begin_views(augment *a, const sb_dispatch_tile *tile)
{
    uint64_t per_epoch = sb_order_epoch_samples(a->order);
    uint32_t epoch = (uint32_t)(tile->sample / per_epoch), position = (uint32_t)(tile->sample % per_epoch);
    sb_view_params params[SB_VIEWS_MAX];
    uint8_t *out[SB_VIEWS_MAX];
    job *j = &a->jobs[a->begun++ % SB_VIEWER_DEPTH];
    j->tile = *tile;
    j->count = 0;
    for (int v = 0; v < a->layout.view_count; v++) {
        const sb_spot p = sb_layout_spot(&a->layout, v, tile->sample);
        sb_ring *ring = &a->rings[p.class];
        if (!sb_ring_claim(ring, p.slot, p.generation, a->incarnation))
            continue; /* a predecessor made this one */
        sb_view_of_sample(&a->keys, epoch, position, v, tile->meta->width, tile->meta->height,
                          &params[j->count]);
        sb_slot_meta *meta = sb_ring_meta(ring, p.slot);
        *meta = *tile->meta;
        meta->epoch = epoch;
        meta->position = position;
        meta->view = (uint32_t)v;
        meta->width = meta->height = a->layout.classes[p.class].size;
        out[j->count] = sb_ring_data(ring, p.slot);
        j->held[j->count++] = p;
    }
    uint64_t begin = sb_now();
    int rc = sb_viewer_begin(a->viewer, tile->pixels, tile->meta->width, tile->meta->height, params, j->count,
                             out);
    a->augment_ns += sb_now() - begin;
    return rc;
}

static int ring_doorbell(augment *a)
{
    sb_dispatch_counts counts;
    sb_dispatch_count(a->dispatch, &counts);
    sb_message m = { .type = SB_MESSAGE_READY };
    m.ready.segment = a->rings[0].segment.ticket.id;
    m.ready.read_ns = counts.read_ns;
    m.ready.decode_ns = counts.decode_ns;
    m.ready.augment_ns = a->augment_ns;
    m.ready.loaders = counts.loaders;
    m.ready.quarantined = counts.quarantined;
    m.ready.away = counts.away;
    m.ready.tiles_ready = counts.tiles_ready;
    m.ready.tiles = counts.tiles;
    return sb_socket_send(&a->trainer, NULL, &m);
}

/* Publishes the views of the oldest tile under way and gives it back. */
static int end_views(augment *a)
{
    job *j = &a->jobs[a->ended++ % SB_VIEWER_DEPTH];
    uint64_t begin = sb_now();
    if (sb_viewer_end(a->viewer) != 0)
        return -1;
    a->augment_ns += sb_now() - begin;
    for (int i = 0; i < j->count; i++)
        if (!sb_ring_publish(&a->rings[j->held[i].class], j->held[i].slot, j->held[i].generation,
                             a->incarnation))
            return sb_fail("a slot of the view ring was taken back while it was written");
    if (sb_dispatch_give_back(a->dispatch, &j->tile, true) != 0)
        return -1;
    return ring_doorbell(a);
}

/* 0: asked to stop. EXIT_TRAINER_GONE. -1: the run cannot go on. */
static int loop(augment *a)
{
    int wait_ms = 0;
    void *tiles;
    size_t bytes;
    sb_dispatch_memory(a->dispatch, &tiles, &bytes);
    sb_device_pin(a->device, tiles, bytes);
    while (!sb_stop_requested()) {
        if (sb_process_gone(a->trainer_pidfd))
            return EXIT_TRAINER_GONE;
        sb_message m;
        int rc;
        while ((rc = sb_socket_receive(&a->trainer, NULL, &m, 0, NULL, 0)) == 1)
            ; /* doorbells: what they point at is read from the words below */
        if (rc < 0 || sb_dispatch_turn(a->dispatch, wait_ms, a->trainer_pidfd) != 0)
            return -1;
        wait_ms = 5;
        sb_dispatch_tile tile;
        bool taken = sb_dispatch_take(a->dispatch, &tile),
             room = taken && look(a, tile.sample) != VIEWS_NO_ROOM;
        if (room && begin_views(a, &tile) != 0)
            return -1;
        /* With nothing more to begin, what is under way is ended. */
        unsigned most = room ? (unsigned)sb_viewer_depth(a->viewer) - 1 : 0;
        for (; a->begun - a->ended > most; wait_ms = 0)
            if (end_views(a) != 0)
                return -1;
        if (taken && !room && sb_dispatch_give_back(a->dispatch, &tile, false) != 0)
            return -1;
        if (room)
            wait_ms = 0;
    }
    return 0;
}

/* ---- start and end ------------------------------------------------------------------------------------- */

/* Configuration, index and order: all of a run that can be wrong before it begins. */
static int read_run(augment *a)
{
    if (sb_augment_keys_of_run(&a->keys, run_dir) != 0 ||
        sb_index_read(&a->index, run_dir, &a->keys.data) != 0 ||
        sb_order_create(&a->order, &a->index, &a->keys) != 0)
        return -1;
    return 0;
}

/* Once the trainer is joined: it has taken what it needs of the device by then, and its check of what is free
 * left room for this. SB_DEVICE_FULL in place of -1 where nothing but memory is missing. */
static int open_device(augment *a)
{
    int rc = sb_device_open(&a->device, a->keys.common.device, a->keys.cuda.plugin, 1);
    if (rc == SB_DEVICE_FULL)
        sb_context("no room for augment beside the trainer; lower trainer.chunk");
    if (rc != 0)
        return rc;
    sb_note("device: %s", a->device->description); /* the trainer says why */
    for (int c = 0; c < a->layout.class_count; c++)
        sb_device_pin(a->device, a->rings[c].segment.mapping, a->rings[c].segment.ticket.bytes);
    return sb_viewer_create(&a->viewer, a->device, &a->keys);
}

/* The device first: it may be reading and writing the rings. */
static void teardown(augment *a)
{
    sb_viewer_destroy(&a->viewer);
    sb_device_close(&a->device);
    sb_dispatch_destroy(&a->dispatch);
    sb_socket_close(&a->trainer);
    close_rings(a);
    if (a->trainer_pidfd >= 0)
        close(a->trainer_pidfd);
    sb_order_destroy(&a->order);
    sb_index_free(&a->index);
}

/* A run from its start to its end: the exit status, or -1. */
static int serve(augment *a)
{
    uint64_t first;
    if (sb_stop_install() != 0 || sb_process_die_with_supervisor() != 0 || read_run(a) != 0)
        return -1;
    int rc = join_trainer(a, &first);
    if (rc != 1)
        return rc;
    rc = open_device(a);
    if (rc == SB_DEVICE_FULL) {
        sb_note("%s", sb_error());
        return EXIT_NO_ROOM;
    }
    if (rc != 0 || sb_dispatch_create(&a->dispatch, run_dir, &a->keys, &a->index, a->order, first, a->memory,
                                      views_made, a) != 0)
        return -1;
    return loop(a);
}

enum { KEY_CHECK = 0x100 };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    (void)state;
    if (key == KEY_CHECK)
        only_check = true;
    else if (key == ARGP_KEY_ARG && !run_dir)
        run_dir = argument;
    else if (key == ARGP_KEY_ARG || key == ARGP_KEY_NO_ARGS)
        return sb_program_wrong("one run directory was expected (--help)");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp_option options[] = {
        { "check", KEY_CHECK, NULL, 0,
          "only read the configuration and the index, and name images that changed since the run began", 0 },
        { 0 },
    };
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN_DIR",
        .doc = "Makes the views of a run: hands tiles to its loaders, and views of them to its trainer. "
               "Started by ./run; one for a run."
    };
    sb_program_begin("augment");
    sb_program_arguments(&argp, argc, argv, NULL);
    augment a = { .trainer_pidfd = -1, .trainer = { .directory = -1 } };
    if (only_check) {
        const int bad = read_run(&a);
        if (bad == 0)
            sb_index_changed(&a.index);
        teardown(&a);
        return sb_program_end(bad);
    }
    const int status = sb_program_end(serve(&a));
    teardown(&a);
    return status;
}
