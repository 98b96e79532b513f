/* dispatch.h: hands tiles to loaders and collects what they decoded.
 *
 * DESIGN. Owns the tile ring (a pool of slots) and the ROUTER "augment". A job is one sample of the order in
 * one slot: WAITING until a loader has it, ASSIGNED until the slot's word says READY, then made into views
 * and gone. Jobs are started in the order's sequence, as many as there are slots; a loader may have two at a
 * time, so that it never waits for a message. Tiles of images that decode tile by tile go to any loader;
 * others to the one that has the image decoded, or to another if that one hangs or is gone.
 *
 * Faults. A loader that is gone (pidfd) gives its slots back. A loader without progress gets SB_SIGNAL_HUNG
 * and is then killed. If it cannot be killed, its slots are written off and spare ones take their place. What
 * loaders say of images and tiles that they could not decode is kept by unusable.h, which tells what may be
 * handed out. The sample of a tile that cannot be used is drawn again (order.h, attempt). */
#ifndef SB_AUGMENT_DISPATCH_H
#define SB_AUGMENT_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "augment/keys.h"
#include "augment/order.h"
#include "loader/index/index.h"
#include "proto/ring.h"

typedef struct sb_dispatch sb_dispatch;

/* True if a sample needs no tile any more, because an earlier augment has made its views. */
typedef bool (*sb_dispatch_made)(void *context, uint64_t sample);

/* Creates ring and socket; samples are taken from `first` on. Keeps the pointers. memory: bytes that all
 * loaders together may take, of which each is told its part by how many there are; 0: unknown.
 * quarantine.jsonl of run_dir is read and appended to. */
int sb_dispatch_create(sb_dispatch **out, const char *run_dir, const sb_augment_keys *keys,
                       const sb_index *index, sb_order *order, uint64_t first, size_t memory,
                       sb_dispatch_made made, void *context);
void sb_dispatch_destroy(sb_dispatch **dispatch);

/* The tile ring's memory, for a device that copies from it. */
void sb_dispatch_memory(const sb_dispatch *dispatch, void **memory, size_t *bytes);

/* One turn: messages (waits at most timeout_ms for the first, or until `fd` is readable), deaths, hung
 * loaders, new jobs, hand-out. -1: the run cannot go on (too many bad images, the ring is broken). */
int sb_dispatch_turn(sb_dispatch *dispatch, int timeout_ms, int fd);

/* A decoded tile. */
typedef struct {
    int job;
    uint64_t sample;
    const sb_slot_meta *meta;
    const uint8_t *pixels;
} sb_dispatch_tile;

/* Takes the decoded tile of the lowest sample that is not taken. True: *out is set and the slot is READING.
 * False: there is none. give_back with `made` (the tile's views are published) frees the slot. Without `made`
 * it leaves the tile for a later take, which is allowed only while no other tile is taken. */
bool sb_dispatch_take(sb_dispatch *dispatch, sb_dispatch_tile *out);
int sb_dispatch_give_back(sb_dispatch *dispatch, const sb_dispatch_tile *tile, bool made);

typedef struct {
    uint64_t read_ns, decode_ns;
    uint64_t decoded; /* images that were decoded whole */
    uint32_t loaders, quarantined, away;
    uint32_t tiles_ready, tiles; /* decoded and not taken; for how many there is room beside those taken */
} sb_dispatch_counts;
void sb_dispatch_count(const sb_dispatch *dispatch, sb_dispatch_counts *out);

#endif
