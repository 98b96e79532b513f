/* ring.c: see ring.h.
 *
 * Memory order. Every arrow is a compare-and-swap with acquire and release. The pairs that matter: publish
 * (release, the writer's pixels and meta) with acquire (acquire, the reader sees them); release (release, the
 * reader is done reading) with claim (acquire, the writer may overwrite). */
#include "proto/ring.h"

#include <stdatomic.h>
#include <string.h>

#include "proto/error.h"

#define LINE 128 /* bytes between words of different slots: two lines, since processors fetch pairs */
#define PAGE 4096
#define SLOTS_MAX (1u << 20)
#define INCARNATION_MAX 0xFFFFFFu

typedef struct {
    uint32_t count;
    uint32_t padding;
    uint64_t stride;
    _Atomic uint64_t incarnation; /* the last one given out */
} header;

typedef union {
    _Atomic uint64_t word;
    char padding[LINE];
} line;

_Static_assert(sizeof(line) == LINE && sizeof(sb_slot_meta) <= LINE && sizeof(header) <= LINE,
               "the layout is part of the protocol");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics without locks are needed in shared memory");

static uint64_t pack(sb_slot_state state, uint32_t incarnation, uint32_t generation)
{
    return (uint64_t)state << 56 | (uint64_t)(incarnation & INCARNATION_MAX) << 32 | generation;
}

static size_t slots_offset(uint32_t count)
{
    size_t bytes = LINE + (size_t)count * 2 * LINE; /* header, words, metas */
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static header *header_of(const sb_ring *ring) { return ring->segment.payload; }

static _Atomic uint64_t *word_of(const sb_ring *ring, uint32_t slot)
{
    return &((line *)((char *)ring->segment.payload + LINE))[slot].word;
}

int sb_ring_create(sb_ring *out, sb_segment_kind kind, uint32_t count, size_t bytes, uint64_t first)
{
    *out = (sb_ring){ .segment = { .fd = -1 } };
    if (count == 0 || count > SLOTS_MAX || bytes == 0 || bytes > (1ull << 40))
        return sb_fail("a ring of %u slots of %zu bytes", count, bytes);
    size_t stride = (bytes + PAGE - 1) / PAGE * PAGE;
    if (sb_segment_create(&out->segment, kind, slots_offset(count) + (size_t)count * stride) != 0)
        return -1;
    out->count = count;
    out->stride = stride;
    header *h = header_of(out);
    h->count = count;
    h->stride = stride;
    for (uint32_t slot = 0; slot < count; slot++) {
        uint64_t next = first / count +
                        (slot < first % count); /* the lap in which this slot's next element comes */
        atomic_store_explicit(word_of(out, slot), pack(SB_SLOT_FREE, 0, (uint32_t)next),
                              memory_order_release);
    }
    return 0;
}

int sb_ring_join(sb_ring *out, sb_segment_kind kind, const sb_segment_ticket *ticket)
{
    *out = (sb_ring){ .segment = { .fd = -1 } };
    if (sb_segment_join(&out->segment, kind, ticket, 1) != 0)
        return -1;
    size_t payload = ticket->bytes - SB_SEGMENT_HEADER;
    uint32_t count = payload >= LINE ? header_of(out)->count : 0;
    uint64_t stride = payload >= LINE ? header_of(out)->stride : 0;
    if (count == 0 || count > SLOTS_MAX || stride == 0 || stride % PAGE != 0 || stride > (1ull << 40) ||
        payload != slots_offset(count) + count * stride) {
        sb_segment_close(&out->segment);
        return sb_fail("a ring of %u slots of %llu bytes does not fit its segment of %zu bytes", count,
                       (unsigned long long)stride, payload);
    }
    out->count = count;
    out->stride = stride;
    return 0;
}

void sb_ring_close(sb_ring *ring)
{
    sb_segment_close(&ring->segment);
    ring->count = 0;
}

int64_t sb_ring_incarnation(sb_ring *ring)
{
    uint64_t next = atomic_fetch_add_explicit(&header_of(ring)->incarnation, 1, memory_order_relaxed) + 1;
    if (next >= INCARNATION_MAX) /* the last number is kept for an owner that reads its own ring */
        return sb_fail("16 million processes have joined this ring: restart the run");
    return (int64_t)next;
}

sb_slot_word sb_ring_look(const sb_ring *ring, uint32_t slot)
{
    if (slot >= ring->count)
        return (sb_slot_word){ .state = SB_SLOT_READING,
                               .incarnation = INCARNATION_MAX,
                               .generation = UINT32_MAX };
    uint64_t word = atomic_load_explicit(word_of(ring, slot), memory_order_acquire);
    return (sb_slot_word){ .state = (sb_slot_state)(word >> 56),
                           .incarnation = (uint32_t)(word >> 32) & INCARNATION_MAX,
                           .generation = (uint32_t)word };
}

static bool step(sb_ring *ring, uint32_t slot, uint64_t from, uint64_t to)
{
    return slot < ring->count &&
           atomic_compare_exchange_strong_explicit(word_of(ring, slot), &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

bool sb_ring_claim(sb_ring *ring, uint32_t slot, uint32_t generation, uint32_t incarnation)
{
    return step(ring, slot, pack(SB_SLOT_FREE, 0, generation),
                pack(SB_SLOT_WRITING, incarnation, generation));
}

bool sb_ring_publish(sb_ring *ring, uint32_t slot, uint32_t generation, uint32_t incarnation)
{
    return step(ring, slot, pack(SB_SLOT_WRITING, incarnation, generation),
                pack(SB_SLOT_READY, 0, generation));
}

bool sb_ring_acquire(sb_ring *ring, uint32_t slot, uint32_t generation, uint32_t incarnation)
{
    return step(ring, slot, pack(SB_SLOT_READY, 0, generation),
                pack(SB_SLOT_READING, incarnation, generation));
}

bool sb_ring_release(sb_ring *ring, uint32_t slot, uint32_t generation, uint32_t incarnation)
{
    return step(ring, slot, pack(SB_SLOT_READING, incarnation, generation),
                pack(SB_SLOT_FREE, 0, generation + 1));
}

bool sb_ring_abandon(sb_ring *ring, uint32_t slot, uint32_t generation, uint32_t incarnation)
{
    return step(ring, slot, pack(SB_SLOT_WRITING, incarnation, generation),
                pack(SB_SLOT_FREE, 0, generation));
}

uint32_t sb_ring_reclaim(sb_ring *ring, uint32_t incarnation)
{
    uint32_t taken = 0;
    for (uint32_t slot = 0; slot < ring->count; slot++) {
        sb_slot_word word = sb_ring_look(ring, slot);
        if (word.incarnation != incarnation)
            continue;
        if (word.state == SB_SLOT_WRITING)
            taken += sb_ring_abandon(ring, slot, word.generation, incarnation);
        else if (word.state == SB_SLOT_READING)
            taken += step(ring, slot, pack(SB_SLOT_READING, incarnation, word.generation),
                          pack(SB_SLOT_READY, 0, word.generation));
    }
    return taken;
}

sb_slot_meta *sb_ring_meta(sb_ring *ring, uint32_t slot)
{
    if (slot >= ring->count)
        return NULL;
    return (sb_slot_meta *)((char *)ring->segment.payload + LINE + (size_t)ring->count * LINE +
                            (size_t)slot * LINE);
}

void *sb_ring_data(sb_ring *ring, uint32_t slot)
{
    if (slot >= ring->count)
        return NULL;
    return (char *)ring->segment.payload + slots_offset(ring->count) + (size_t)slot * ring->stride;
}
