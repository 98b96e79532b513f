/* ring.h: slots in shared memory that pass from a writer to a reader, and survive the death of either.
 *
 * DESIGN. A slot has one 64-bit atomic word {state, owner incarnation, generation} and it is the only truth;
 * messages merely ring.
 *
 *     FREE(g) -claim-> WRITING(inc, g) -publish-> READY(g) -acquire-> READING(inc, g) -release-> FREE(g+1)
 *
 * every arrow a compare-and-swap. The ring's owner hands out incarnation numbers (never reused) and alone
 * takes slots back, after it knows that the holder's process is gone (pidfd): WRITING(inc, g) -> FREE(g),
 * READING(inc, g) -> READY(g). A late write or a late publish by a dead incarnation is refused because the
 * word no longer carries it. Model: tests/model/ring.pml.
 *
 * Two ways to address. The view ring is addressed by element: element e lies in slot e mod count and is the
 * slot's generation e / count, so that a restarted writer sees from the words alone which elements are
 * missing. The tile ring is a pool: its owner names slot and generation in each order it gives.
 *
 * Layout of the payload: header, words (one cache line each), metas (one each), then `count` slots of
 * `stride` bytes, page-aligned. All functions check slot numbers against the ring's own count, since they
 * come from other processes. */
#ifndef SB_PROTO_RING_H
#define SB_PROTO_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/segment.h"

typedef enum { SB_SLOT_FREE = 0, SB_SLOT_WRITING = 1, SB_SLOT_READY = 2, SB_SLOT_READING = 3 } sb_slot_state;

typedef struct {
    sb_slot_state state;
    uint32_t incarnation; /* 24 bits; 0 when FREE or READY */
    uint32_t generation;
} sb_slot_word;

/* What lies in a slot; written by its writer before publish, read after acquire. */
typedef struct {
    uint64_t sample;          /* epoch * samples per epoch + position */
    uint32_t epoch, position; /* view ring: the same, apart */
    uint32_t view;            /* view ring: 0 .. V-1 */
    uint32_t image;           /* row of the index */
    uint32_t file;            /* the first row of the same file and page: tiles of one file may overlap */
    int32_t left, top, side;  /* the tile in its image, in pixels */
    int32_t width, height, channels; /* of the pixels in the slot, 8 bits each, HWC */
    uint32_t label;                  /* row label of the index, UINT32_MAX if none */
    int32_t fault; /* the signal that the writer died of while it decoded (set by its handler; process.h:
                      SB_SIGNAL_HUNG), else 0 */
} sb_slot_meta;

typedef struct {
    sb_segment segment;
    uint32_t count; /* slots */
    size_t stride;  /* bytes of a slot, a multiple of the page size */
} sb_ring;

/* Creates a ring of `count` slots that each hold `bytes`. Generations start so that element `first` is the
 * next of its slot (first = 0 for a pool). */
int sb_ring_create(sb_ring *out, sb_segment_kind kind, uint32_t count, size_t bytes, uint64_t first);
int sb_ring_join(sb_ring *out, sb_segment_kind kind, const sb_segment_ticket *ticket);
void sb_ring_close(sb_ring *ring);

/* The next incarnation number (1 .. 2^24 - 1), counted in the ring's header; only the ring's owner calls it.
 * -1 when used up. */
int64_t sb_ring_incarnation(sb_ring *ring);

/* Element addressing. */
static inline uint32_t sb_ring_slot(const sb_ring *ring, uint64_t element)
{
    return (uint32_t)(element % ring->count);
}
static inline uint32_t sb_ring_generation(const sb_ring *ring, uint64_t element)
{
    return (uint32_t)(element / ring->count);
}

/* A slot's word now. */
sb_slot_word sb_ring_look(const sb_ring *ring, uint32_t slot);

/* The four arrows. Each returns true if the word was as expected and is now the next one. */
bool sb_ring_claim(sb_ring *ring, uint32_t slot, uint32_t generation, uint32_t incarnation);
bool sb_ring_publish(sb_ring *ring, uint32_t slot, uint32_t generation, uint32_t incarnation);
bool sb_ring_acquire(sb_ring *ring, uint32_t slot, uint32_t generation, uint32_t incarnation);
bool sb_ring_release(sb_ring *ring, uint32_t slot, uint32_t generation, uint32_t incarnation);

/* The writer gives up: WRITING(inc, g) -> FREE(g). */
bool sb_ring_abandon(sb_ring *ring, uint32_t slot, uint32_t generation, uint32_t incarnation);

/* The owner takes back every slot of an incarnation whose process is gone. Returns how many. */
uint32_t sb_ring_reclaim(sb_ring *ring, uint32_t incarnation);

/* Meta and pixels of a slot; valid to touch only while the slot is held (WRITING: write, READING: read).
 * NULL: no such slot. */
sb_slot_meta *sb_ring_meta(sb_ring *ring, uint32_t slot);
void *sb_ring_data(sb_ring *ring, uint32_t slot);

#endif
