/* Processes that end in every state of a slot, again and again, one writer and one reader at a time: no slot
 * is lost, nothing is torn, every element is delivered at least once. Where a process ends is counted, not
 * timed. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/ring.h"

#define SLOTS 5
#define BYTES ((size_t)5000)
#define ELEMENTS 500
#define LAPS (ELEMENTS / SLOTS)

/* Where a process ends: right after what the name says. */
typedef enum { END_NOTHING, END_CLAIMED, END_HALF, END_WRITTEN, END_PUBLISHED, WRITER_ENDS } writer_end;
typedef enum { END_LOOKED, END_ACQUIRED, END_DELIVERED, END_RELEASED, READER_ENDS } reader_end;

/* What survives everybody. */
typedef struct {
    uint64_t next; /* the reader's checkpoint */
    uint32_t delivered[ELEMENTS];
    uint32_t torn;
} record;

static void end_if(bool here)
{
    if (here)
        _exit(0);
}

/* Makes what is missing, in order; ends at the `steps`th element that it makes. */
static void write_elements(sb_ring *ring, uint32_t incarnation, writer_end where, int steps)
{
    for (uint64_t e = 0; e < ELEMENTS; e++) {
        uint32_t slot = sb_ring_slot(ring, e), generation = sb_ring_generation(ring, e);
        while ((int32_t)(sb_ring_look(ring, slot).generation - generation) < 0)
            sched_yield(); /* no room */
        sb_slot_word word = sb_ring_look(ring, slot);
        if (word.generation != generation || word.state != SB_SLOT_FREE)
            continue;
        bool last = --steps == 0;
        end_if(last && where == END_NOTHING);
        if (!sb_ring_claim(ring, slot, generation, incarnation))
            _exit(1);
        end_if(last && where == END_CLAIMED);
        memset(sb_ring_data(ring, slot), (int)(e % 251), BYTES / 2);
        end_if(last && where == END_HALF);
        memset((char *)sb_ring_data(ring, slot) + BYTES / 2, (int)(e % 251), BYTES - BYTES / 2);
        sb_ring_meta(ring, slot)->sample = e;
        end_if(last && where == END_WRITTEN);
        if (!sb_ring_publish(ring, slot, generation, incarnation))
            _exit(1);
        end_if(last && where == END_PUBLISHED);
    }
    _exit(0);
}

static bool sound(sb_ring *ring, uint32_t slot, uint64_t element)
{
    const uint8_t *data = sb_ring_data(ring, slot);
    bool same = sb_ring_meta(ring, slot)->sample == element;
    for (size_t i = 0; i < BYTES; i++)
        same &= data[i] == element % 251;
    return same;
}

static void read_elements(sb_ring *ring, record *r, uint32_t incarnation, reader_end where, int steps)
{
    for (; r->next < ELEMENTS; r->next++) {
        uint64_t e = r->next;
        uint32_t slot = sb_ring_slot(ring, e), generation = sb_ring_generation(ring, e);
        if ((int32_t)(sb_ring_look(ring, slot).generation - generation) > 0)
            continue; /* a predecessor released it and could not note it any more */
        bool last = --steps == 0;
        end_if(last && where == END_LOOKED);
        while (!sb_ring_acquire(ring, slot, generation, incarnation))
            sched_yield();
        end_if(last && where == END_ACQUIRED);
        r->torn += !sound(ring, slot, e);
        r->delivered[e]++;
        end_if(last && where == END_DELIVERED);
        if (!sb_ring_release(ring, slot, generation, incarnation))
            _exit(1);
        end_if(last && where == END_RELEASED);
    }
    _exit(0);
}

static void test_an_end_in_every_state(void **state)
{
    (void)state;
    sb_ring ring;
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, SLOTS, BYTES, 0), 0);
    record *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(r != MAP_FAILED);
    pid_t child[2] = { 0, 0 }; /* writer, reader */
    uint32_t incarnation[2] = { 0 }, lives[2] = { 0 }, taken[2] = { 0 };
    while (r->next < ELEMENTS) {
        for (uint32_t i = 0; i < 2; i++) {
            if (child[i])
                continue;
            int64_t number = sb_ring_incarnation(&ring);
            assert_true(number > 0);
            incarnation[i] = (uint32_t)number;
            uint32_t ends = i == 0 ? WRITER_ENDS : READER_ENDS;
            int steps = (int)(1 + lives[i] / ends % 3); /* at its first, second or third element */
            child[i] = fork();
            assert_true(child[i] >= 0);
            if (child[i] == 0 && i == 0)
                write_elements(&ring, incarnation[i], (writer_end)(lives[i] % ends), steps);
            if (child[i] == 0)
                read_elements(&ring, r, incarnation[i], (reader_end)(lives[i] % ends), steps);
            lives[i]++;
        }
        int status;
        pid_t dead = wait(&status);
        assert_true(dead == child[0] || dead == child[1]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        int i = dead == child[1];
        taken[i] += sb_ring_reclaim(&ring, incarnation[i]);
        child[i] = 0;
    }
    for (int i = 0; i < 2; i++)
        while (child[i] && waitpid(child[i], NULL, 0) != child[i])
            ;
    for (int i = 0; i < 2; i++)
        sb_ring_reclaim(&ring, incarnation[i]);
    assert_int_equal(r->torn, 0);
    for (int e = 0; e < ELEMENTS; e++)
        assert_true(r->delivered[e] >= 1);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        assert_int_equal(sb_ring_look(&ring, slot).state, SB_SLOT_FREE);
        assert_int_equal(sb_ring_look(&ring, slot).generation, ELEMENTS / SLOTS);
    }
    print_message("writer, reader: %u, %u lives; %u, %u slots taken back\n", lives[0], lives[1], taken[0],
                  taken[1]);
    assert_true(taken[0] > LAPS / 2 && taken[1] > LAPS / 2);
    munmap(r, sizeof *r);
    sb_ring_close(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_an_end_in_every_state) };
    alarm(900); /* a slot that is lost is waited for */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
