/* Slots pass from writers to a reader, whichever process dies. Tested are states, late writes, reclaiming,
 * and real processes killed at random. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/process.h"
#include "proto/ring.h"

static void test_the_four_arrows(void **state)
{
    (void)state;
    sb_ring ring;
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, 3, 1000, 7), 0);
    /* element 7 of 3 slots: slot 1, generation 2; slot 0 is already a lap further */
    assert_int_equal(sb_ring_slot(&ring, 7), 1);
    assert_int_equal(sb_ring_look(&ring, 1).generation, 2);
    assert_int_equal(sb_ring_look(&ring, 0).generation, 3);
    int64_t a = sb_ring_incarnation(&ring), b = sb_ring_incarnation(&ring);
    assert_true(a > 0 && b == a + 1);
    assert_false(sb_ring_claim(&ring, 1, 1, (uint32_t)a)); /* an old generation */
    assert_true(sb_ring_claim(&ring, 1, 2, (uint32_t)a));
    assert_false(sb_ring_claim(&ring, 1, 2, (uint32_t)b));
    assert_false(sb_ring_publish(&ring, 1, 2, (uint32_t)b)); /* not its slot */
    assert_true(sb_ring_publish(&ring, 1, 2, (uint32_t)a));
    assert_true(sb_ring_acquire(&ring, 1, 2, (uint32_t)b));
    assert_false(sb_ring_release(&ring, 1, 2, (uint32_t)a));
    assert_true(sb_ring_release(&ring, 1, 2, (uint32_t)b));
    assert_int_equal(sb_ring_look(&ring, 1).state, SB_SLOT_FREE);
    assert_int_equal(sb_ring_look(&ring, 1).generation, 3);
    sb_ring_close(&ring);
}

static void test_a_late_writer_is_refused(void **state)
{
    (void)state;
    sb_ring ring;
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, 1, 1, 0), 0);
    assert_true(sb_ring_claim(&ring, 0, 0, 1));
    assert_int_equal(sb_ring_reclaim(&ring, 1), 1);
    assert_true(sb_ring_claim(&ring, 0, 0, 2));
    assert_false(sb_ring_publish(&ring, 0, 0, 1));
    assert_true(sb_ring_publish(&ring, 0, 0, 2));
    assert_true(sb_ring_acquire(&ring, 0, 0, 3));
    assert_int_equal(sb_ring_reclaim(&ring, 3), 1); /* a dead reader: READY again */
    assert_int_equal(sb_ring_look(&ring, 0).state, SB_SLOT_READY);
    sb_ring_close(&ring);
}

static void test_wrong_slots_are_refused(void **state)
{
    (void)state;
    sb_ring ring;
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, 2, 1, 0), 0);
    assert_false(sb_ring_claim(&ring, 2, 0, 1));
    assert_false(sb_ring_claim(&ring, UINT32_MAX, 0, 1));
    assert_null(sb_ring_data(&ring, 2));
    assert_null(sb_ring_meta(&ring, 2));
    sb_ring_close(&ring);
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, 0, 1, 0), -1);
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, 1, 0, 0), -1);
}

static void test_join_checks_the_ticket(void **state)
{
    (void)state;
    sb_ring ring, joined;
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, 4, 100, 0), 0);
    sb_segment_ticket t = ring.segment.ticket;
    assert_int_equal(sb_ring_join(&joined, SB_SEGMENT_VIEWS, &t), 0);
    assert_int_equal(joined.count, 4);
    sb_ring_close(&joined);
    assert_int_equal(sb_ring_join(&joined, SB_SEGMENT_TILES, &t), -1);
    t.id++;
    assert_int_equal(sb_ring_join(&joined, SB_SEGMENT_VIEWS, &t), -1);
    t = ring.segment.ticket;
    t.bytes -= 4096;
    assert_int_equal(sb_ring_join(&joined, SB_SEGMENT_VIEWS, &t), -1);
    t = ring.segment.ticket;
    t.fd = 0;
    assert_int_equal(sb_ring_join(&joined, SB_SEGMENT_VIEWS, &t), -1);
    sb_ring_close(&ring);
}

/* The creator dies: its descriptors are closed already, and the process is not gone yet. Who fails to join
 * finds then that it is. */
static void test_join_of_one_that_dies(void **state)
{
    (void)state;
    int ends[2];
    sb_ring ring, joined;
    sb_segment_ticket ticket;
    assert_int_equal(pipe(ends), 0);
    const pid_t creator = fork();
    assert_true(creator >= 0);
    if (creator == 0) {
        if (sb_ring_create(&ring, SB_SEGMENT_VIEWS, 4, 100, 0) != 0)
            _exit(1);
        ticket = ring.segment.ticket;
        sb_ring_close(&ring);
        (void)!write(ends[1], &ticket, sizeof ticket);
        usleep(200000);
        _exit(0);
    }
    assert_int_equal(read(ends[0], &ticket, sizeof ticket), sizeof ticket);
    const int pidfd = (int)syscall(SYS_pidfd_open, creator, 0);
    assert_true(pidfd >= 0);
    assert_int_equal(sb_ring_join(&joined, SB_SEGMENT_VIEWS, &ticket), -1);
    assert_true(sb_process_gone(pidfd));
    assert_int_equal(waitpid(creator, NULL, 0), creator);
    close(pidfd);
    close(ends[0]);
    close(ends[1]);
}

#define ELEMENTS 3000
#define BYTES 4096

/* Fills elements in order, from whatever is missing, until killed. */
static void write_for_ever(sb_ring *ring, uint32_t incarnation)
{
    for (uint64_t e = 0;; e = e + 1 < ELEMENTS ? e + 1 : 0) {
        uint32_t slot = sb_ring_slot(ring, e), generation = sb_ring_generation(ring, e);
        if (!sb_ring_claim(ring, slot, generation, incarnation))
            continue;
        memset(sb_ring_data(ring, slot), (int)(e % 251), BYTES);
        sb_ring_meta(ring, slot)->sample = e;
        sb_ring_publish(ring, slot, generation, incarnation);
    }
}

static void test_killed_writers_lose_nothing(void **state)
{
    (void)state;
    sb_ring ring;
    assert_int_equal(sb_ring_create(&ring, SB_SEGMENT_VIEWS, 5, BYTES, 0), 0);
    srand(1);
    uint64_t next = 0;
    int kills = 0;
    while (next < ELEMENTS) {
        uint32_t incarnation = (uint32_t)sb_ring_incarnation(&ring);
        pid_t writer = fork();
        assert_true(writer >= 0);
        if (writer == 0)
            write_for_ever(&ring, incarnation);
        uint64_t until = next + (uint64_t)(rand() % 24);
        while (next < ELEMENTS && next < until) {
            uint32_t slot = sb_ring_slot(&ring, next), generation = sb_ring_generation(&ring, next);
            if (!sb_ring_acquire(&ring, slot, generation, 0xABCDEF))
                continue;
            assert_int_equal(sb_ring_meta(&ring, slot)->sample, next);
            const uint8_t *data = sb_ring_data(&ring, slot);
            for (int i = 0; i < BYTES; i++)
                assert_int_equal(data[i], next % 251);
            assert_true(sb_ring_release(&ring, slot, generation, 0xABCDEF));
            next++;
        }
        usleep((useconds_t)(rand() % 100));
        kill(writer, SIGKILL);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        sb_ring_reclaim(&ring, incarnation);
        kills++;
    }
    assert_true(kills > 100);
    sb_ring_close(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_four_arrows),         cmocka_unit_test(test_a_late_writer_is_refused),
        cmocka_unit_test(test_wrong_slots_are_refused), cmocka_unit_test(test_join_checks_the_ticket),
        cmocka_unit_test(test_join_of_one_that_dies),   cmocka_unit_test(test_killed_writers_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
