/* broadcast.c: see broadcast.h.
 *
 * Memory order (Boehm, "Can seqlocks get along with programming language memory models?", 2012). Writer: odd
 * number, release fence, words, even number with release. Reader: number with acquire, words, acquire fence,
 * number again. The fences pair through any word that the reader saw of a newer record: then its second look
 * sees that record's number too. */
#include "proto/broadcast.h"

#include <stdatomic.h>
#include <string.h>

#include "proto/error.h"

#define LINE 128 /* places begin on lines of their own: two lines, since processors fetch pairs */
#define COUNT_MAX (1u << 20)
#define RECORD_MAX ((uint64_t)1 << 40)
#define WORD sizeof(uint64_t)

typedef struct {
    uint32_t count;
    uint32_t padding;
    uint64_t record_bytes;
    _Atomic uint64_t next;
} header;

_Static_assert(sizeof(header) <= LINE, "the layout is part of the protocol");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics without locks are needed in shared memory");

/* Bytes of a place: its sequence number and the record's words. */
static uint64_t stride_of(uint64_t record_bytes)
{
    uint64_t bytes = WORD + (record_bytes + WORD - 1) / WORD * WORD;
    return (bytes + LINE - 1) / LINE * LINE;
}

static header *header_of(const sb_broadcast *b) { return b->segment.payload; }

/* The place of record `number`: word 0 is its sequence number, the record follows. */
static _Atomic uint64_t *place_of(const sb_broadcast *b, uint64_t number)
{
    return (_Atomic uint64_t *)((char *)b->segment.payload + LINE +
                                number % b->count * stride_of(b->record_bytes));
}

static int bad_size(uint64_t count, uint64_t record_bytes)
{
    return count == 0 || count > COUNT_MAX || record_bytes == 0 || record_bytes > RECORD_MAX;
}

int sb_broadcast_create(sb_broadcast *out, sb_segment_kind kind, uint32_t count, size_t record_bytes)
{
    *out = (sb_broadcast){ .segment = { .fd = -1 } };
    if (bad_size(count, record_bytes))
        return sb_fail("a broadcast of %u records of %zu bytes", count, record_bytes);
    if (sb_segment_create(&out->segment, kind, LINE + count * stride_of(record_bytes)) != 0)
        return -1;
    header *h = header_of(out);
    h->count = count;
    h->record_bytes = record_bytes;
    out->count = count;
    out->record_bytes = record_bytes;
    return 0;
}

int sb_broadcast_join(sb_broadcast *out, sb_segment_kind kind, const sb_segment_ticket *ticket)
{
    *out = (sb_broadcast){ .segment = { .fd = -1 } };
    if (sb_segment_join(&out->segment, kind, ticket, 0) != 0)
        return -1;
    uint64_t payload = ticket->bytes - SB_SEGMENT_HEADER;
    uint32_t count = payload >= LINE ? header_of(out)->count : 0;
    uint64_t record_bytes = payload >= LINE ? header_of(out)->record_bytes : 0;
    if (bad_size(count, record_bytes) || payload != LINE + count * stride_of(record_bytes)) {
        sb_segment_close(&out->segment);
        return sb_fail("a broadcast of %u records of %llu bytes does not fit its segment of %llu bytes",
                       count, (unsigned long long)record_bytes, (unsigned long long)payload);
    }
    out->count = count;
    out->record_bytes = record_bytes;
    return 0;
}

void sb_broadcast_close(sb_broadcast *b)
{
    sb_segment_close(&b->segment);
    *b = (sb_broadcast){ .segment = { .fd = -1 } };
}

/* Puts `bytes` bytes at byte `at` of the words, in whole words where they are whole. */
static void put(_Atomic uint64_t *words, size_t at, const char *data, size_t bytes)
{
    while (bytes > 0) {
        size_t within = at % WORD, n = bytes < WORD - within ? bytes : WORD - within;
        uint64_t word = n < WORD ? atomic_load_explicit(&words[at / WORD], memory_order_relaxed) : 0;
        memcpy((char *)&word + within, data, n);
        atomic_store_explicit(&words[at / WORD], word, memory_order_relaxed);
        at += n;
        data += n;
        bytes -= n;
    }
}

static uint64_t next_of(const sb_broadcast *b)
{
    return atomic_load_explicit(&header_of(b)->next, memory_order_relaxed);
}

void sb_broadcast_begin(sb_broadcast *b)
{
    uint64_t number = next_of(b);
    atomic_store_explicit(place_of(b, number), 2 * number + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    b->written = 0;
}

int sb_broadcast_add(sb_broadcast *b, const void *data, size_t bytes)
{
    if (bytes > b->record_bytes - b->written)
        return sb_fail("a piece of %zu bytes does not fit behind %zu in a record of %zu", bytes, b->written,
                       b->record_bytes);
    put(place_of(b, next_of(b)) + 1, b->written, data, bytes);
    b->written += bytes;
    return 0;
}

void sb_broadcast_end(sb_broadcast *b)
{
    uint64_t number = next_of(b);
    atomic_store_explicit(place_of(b, number), 2 * (number + 1), memory_order_release);
    atomic_store_explicit(&header_of(b)->next, number + 1, memory_order_release);
}

int sb_broadcast_write(sb_broadcast *b, const sb_broadcast_part *parts, int part_count)
{
    size_t room = b->record_bytes;
    for (int i = 0; i < part_count; i++) {
        if (parts[i].bytes > room)
            return sb_fail("part %d of %zu bytes does not fit a record of %zu", i, parts[i].bytes,
                           b->record_bytes);
        room -= parts[i].bytes;
    }
    sb_broadcast_begin(b);
    for (int i = 0; i < part_count; i++)
        if (sb_broadcast_add(b, parts[i].data, parts[i].bytes) != 0)
            return -1;
    sb_broadcast_end(b);
    return 0;
}

uint64_t sb_broadcast_next(const sb_broadcast *b)
{
    return atomic_load_explicit(&header_of(b)->next, memory_order_acquire);
}

int sb_broadcast_read(const sb_broadcast *b, uint64_t number, void *out)
{
    if (number > UINT64_MAX / 2 - 1)
        return 0;
    _Atomic uint64_t *place = place_of(b, number);
    uint64_t before = atomic_load_explicit(place, memory_order_acquire), complete = 2 * (number + 1);
    if (before != 0 && (before - 1) / 2 % b->count != number % b->count)
        return sb_fail("place %llu of a broadcast of %u records has number %llu, which belongs elsewhere",
                       (unsigned long long)(number % b->count), b->count, (unsigned long long)before);
    if (before != complete)
        return before < complete ? 0 : -2;
    char *to = out;
    size_t whole = b->record_bytes / WORD, rest = b->record_bytes % WORD;
    for (size_t i = 0; i < whole; i++) {
        uint64_t word = atomic_load_explicit(&place[1 + i], memory_order_relaxed);
        memcpy(to + i * WORD, &word, WORD);
    }
    if (rest) {
        uint64_t word = atomic_load_explicit(&place[1 + whole], memory_order_relaxed);
        memcpy(to + whole * WORD, &word, rest);
    }
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(place, memory_order_relaxed) == complete ? 1 : -2;
}
