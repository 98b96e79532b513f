/* Rings and broadcasts with many threads, for ThreadSanitizer, which sees one process only
 * (tests/sanitizers/thread.sh): writers and readers that leave their slots behind as a crash would, an owner
 * that takes them back once the thread is joined, and readers of a broadcast that is overwritten while they
 * read. Payloads are plain memory in the ring, so a missing order is a race. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/broadcast.h"
#include "proto/ring.h"

#define SLOTS 6
#define WORDS 64 /* of a slot's payload that are used */
#define TILES 2000
#define WRITERS 4
#define READERS 2

static sb_ring ring;
static atomic_uint made, delivered, torn;

typedef struct {
    bool writer;
    uint32_t incarnation;
    uint32_t seed;
} life;

static bool abandons(life *l)
{
    l->seed = l->seed * 1664525u + 1013904223u;
    return l->seed >> 24 < 8; /* one time in 32 */
}

static void write_slot(uint32_t slot, uint32_t generation)
{
    uint64_t *data = sb_ring_data(&ring, slot);
    for (int i = 0; i < WORDS; i++)
        data[i] = (uint64_t)generation << 32 | slot;
    sb_ring_meta(&ring, slot)->sample = (uint64_t)generation << 32 | slot;
}

static bool sound(uint32_t slot, uint32_t generation)
{
    const uint64_t *data = sb_ring_data(&ring, slot), expected = (uint64_t)generation << 32 | slot;
    bool same = sb_ring_meta(&ring, slot)->sample == expected;
    for (int i = 0; i < WORDS; i++)
        same &= data[i] == expected;
    return same;
}

/* Works wherever there is work, until all is delivered or it leaves its slot as it is. */
static void *live(void *argument)
{
    life *l = argument;
    for (uint32_t slot = 0; atomic_load(&delivered) < TILES; slot = (slot + 1) % SLOTS) {
        sb_slot_word word = sb_ring_look(&ring, slot);
        if (l->writer ? sb_ring_claim(&ring, slot, word.generation, l->incarnation)
                      : sb_ring_acquire(&ring, slot, word.generation, l->incarnation)) {
            if (abandons(l))
                return NULL;
            if (l->writer)
                write_slot(slot, word.generation);
            else if (!sound(slot, word.generation))
                atomic_fetch_add(&torn, 1);
            if (abandons(l))
                return NULL;
            if (l->writer ? sb_ring_publish(&ring, slot, word.generation, l->incarnation)
                          : sb_ring_release(&ring, slot, word.generation, l->incarnation))
                atomic_fetch_add(l->writer ? &made : &delivered, 1);
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void test_a_ring_with_many_threads(void **state)
{
    (void)state;
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, SLOTS, WORDS * sizeof(uint64_t), 0), 0);
    pthread_t threads[WRITERS + READERS];
    life lives[WRITERS + READERS];
    uint32_t taken = 0, deaths = 0;
    for (uint32_t i = 0; i < WRITERS + READERS; i++) {
        lives[i] = (life){ .writer = i < WRITERS,
                           .incarnation = (uint32_t)sb_ring_incarnation(&ring),
                           .seed = i };
        assert_int_equal(pthread_create(&threads[i], NULL, live, &lives[i]), 0);
    }
    for (uint32_t i = 0; atomic_load(&delivered) < TILES; i = (i + 1) % (WRITERS + READERS)) {
        if (pthread_tryjoin_np(threads[i], NULL) != 0) {
            sched_yield();
            continue;
        }
        taken += sb_ring_reclaim(&ring, lives[i].incarnation);
        lives[i].incarnation = (uint32_t)sb_ring_incarnation(&ring);
        deaths++;
        assert_int_equal(pthread_create(&threads[i], NULL, live, &lives[i]), 0);
    }
    for (uint32_t i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        taken += sb_ring_reclaim(&ring, lives[i].incarnation);
    }
    assert_int_equal(atomic_load(&torn), 0);
    assert_true(taken > 0 && deaths > 10);
    uint32_t ready = 0, generations = 0;
    for (uint32_t slot = 0; slot < SLOTS;
         slot++) { /* nothing was lost: what was made lies READY or was delivered */
        sb_slot_word word = sb_ring_look(&ring, slot);
        assert_true(word.state == SB_SLOT_FREE || word.state == SB_SLOT_READY);
        ready += word.state == SB_SLOT_READY;
        generations += word.generation;
    }
    assert_int_equal(generations, atomic_load(&delivered));
    assert_int_equal(generations + ready, atomic_load(&made));
    sb_ring_close(&ring);
}

/* ---- broadcast ----------------------------------------------------------------------------------------- */

#define RECORD_WORDS 40
#define SOUND 500

static atomic_uint readers_left;

static void *publish_for_ever(void *argument)
{
    uint64_t record[RECORD_WORDS];
    for (uint64_t n = 0; atomic_load(&readers_left) > 0; n++) {
        for (int i = 0; i < RECORD_WORDS; i++)
            record[i] = n;
        const sb_broadcast_part parts[] = { { record, 12 }, { (char *)record + 12, sizeof record - 12 } };
        if (sb_broadcast_write(argument, parts, 2) != 0)
            atomic_fetch_add(&torn, 1);
        if (n % 16 == 0)
            sched_yield();
    }
    return NULL;
}

static void *follow(void *argument)
{
    uint64_t record[RECORD_WORDS];
    uint64_t last = 0;
    for (int got = 0; got < SOUND;) {
        uint64_t next = sb_broadcast_next(argument);
        if (next == last || sb_broadcast_read(argument, next - 1, record) != 1) {
            sched_yield();
            continue;
        }
        for (int i = 0; i < RECORD_WORDS; i++)
            if (record[i] != next - 1)
                atomic_fetch_add(&torn, 1);
        last = next;
        got++;
    }
    atomic_fetch_sub(&readers_left, 1);
    return NULL;
}

static void test_a_broadcast_with_many_threads(void **state)
{
    (void)state;
    sb_broadcast broadcast, joined[READERS + 2];
    pthread_t writer, readers[READERS + 2];
    assert_int_equal(
        sb_broadcast_create(&broadcast, SB_SEGMENT_EMBEDDINGS, 2, RECORD_WORDS * sizeof(uint64_t)), 0);
    atomic_store(&torn, 0);
    atomic_store(&readers_left, READERS + 2);
    for (int i = 0; i < READERS + 2; i++) {
        assert_int_equal(sb_broadcast_join(&joined[i], SB_SEGMENT_EMBEDDINGS, &broadcast.segment.ticket), 0);
        /* Half of them through the writer's own mapping: only there does ThreadSanitizer see both sides of an
         * access. */
        assert_int_equal(pthread_create(&readers[i], NULL, follow, i % 2 ? &broadcast : &joined[i]), 0);
    }
    assert_int_equal(pthread_create(&writer, NULL, publish_for_ever, &broadcast), 0);
    for (int i = 0; i < READERS + 2; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(atomic_load(&torn), 0);
    for (int i = 0; i < READERS + 2; i++)
        sb_broadcast_close(&joined[i]);
    sb_broadcast_close(&broadcast);
}

int main(void)
{
    alarm(900); /* a slot that is lost is waited for */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_ring_with_many_threads),
        cmocka_unit_test(test_a_broadcast_with_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
