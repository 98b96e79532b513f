/* A broadcast: what was overwritten is known to be lost, what is torn is never returned, what is stopped
 * costs nothing. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/broadcast.h"
#include "proto/error.h"

static int write_one(sb_broadcast *b, const void *data, size_t bytes)
{
    sb_broadcast_part part = { data, bytes };
    return sb_broadcast_write(b, &part, 1);
}

static void test_lost_records_are_counted(void **state)
{
    (void)state;
    sb_broadcast b, reader;
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_EMBEDDINGS, 4, sizeof(uint64_t)), 0);
    assert_int_equal(sb_broadcast_join(&reader, SB_SEGMENT_EMBEDDINGS, &b.segment.ticket), 0);
    assert_int_equal(reader.count, 4);
    assert_int_equal(reader.record_bytes, 8);
    uint64_t got;
    assert_int_equal(sb_broadcast_read(&reader, 0, &got), 0);
    assert_int_equal(sb_broadcast_read(&reader, UINT64_MAX, &got), 0);
    for (uint64_t n = 0; n < 10; n++)
        assert_int_equal(write_one(&b, &(uint64_t){ 100 + n }, sizeof n), 0);
    assert_int_equal(sb_broadcast_next(&reader), 10);
    for (uint64_t n = 0; n < 13; n++) {
        int rc = sb_broadcast_read(&reader, n, &got);
        assert_int_equal(rc, n < 6 ? -2 : n < 10 ? 1 : 0);
        if (rc == 1)
            assert_int_equal(got, 100 + n);
    }
    sb_broadcast_close(&reader);
    sb_broadcast_close(&b);
}

/* What was begun and not ended is nothing to a reader but the loss of the record before it, and is begun
 * anew. */
static void test_pieces(void **state)
{
    (void)state;
    sb_broadcast b;
    char got[12];
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_WEIGHTS, 1, sizeof got), 0);
    assert_int_equal(write_one(&b, "before it...", 12), 0);
    for (int ended = 0; ended < 2; ended++) {
        sb_broadcast_begin(&b);
        assert_int_equal(sb_broadcast_add(&b, ended ? "one, " : "ONE", ended ? 5 : 3), 0);
        assert_int_equal(sb_broadcast_next(&b), 1);
        assert_int_equal(sb_broadcast_read(&b, 0, got), -2);
        assert_int_equal(sb_broadcast_read(&b, 1, got), 0);
    }
    assert_int_equal(sb_broadcast_add(&b, "three bytes too many", 8), -1);
    assert_int_equal(sb_broadcast_add(&b, "two.", 4), 0);
    assert_int_equal(sb_broadcast_add(&b, "", 0), 0);
    assert_int_equal(sb_broadcast_add(&b, "...", 3), 0);
    assert_int_equal(sb_broadcast_add(&b, "!", 1), -1);
    sb_broadcast_end(&b);
    assert_int_equal(sb_broadcast_next(&b), 2);
    assert_int_equal(sb_broadcast_read(&b, 1, got), 1);
    assert_memory_equal(got, "one, two....", 12);
    sb_broadcast_close(&b);
}

static void test_parts_of_any_length(void **state)
{
    (void)state;
    sb_broadcast b;
    char text[27], got[27];
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_WEIGHTS, 1, sizeof text), 0);
    for (int first = 0; first <= 27; first++)
        for (int second = 0; first + second <= 27; second++) {
            for (int i = 0; i < 27; i++)
                text[i] = (char)('A' + (first + 3 * second + i) % 26);
            const sb_broadcast_part parts[] = { { text, (size_t)first },
                                                { text + first, (size_t)second },
                                                { text + first + second, (size_t)(27 - first - second) } };
            assert_int_equal(sb_broadcast_write(&b, parts, 3), 0);
            assert_int_equal(sb_broadcast_read(&b, sb_broadcast_next(&b) - 1, got), 1);
            assert_memory_equal(got, text, 27);
            assert_int_equal(write_one(&b, "0123456789", (size_t)(first % 11)), 0); /* the rest stays */
            assert_int_equal(sb_broadcast_read(&b, sb_broadcast_next(&b) - 1, got), 1);
            assert_memory_equal(got, "0123456789", first % 11);
            assert_memory_equal(got + first % 11, text + first % 11, 27 - first % 11);
        }
    uint64_t next = sb_broadcast_next(&b);
    const sb_broadcast_part too_long[] = { { text, 20 }, { text, 8 } },
                            wraps[] = { { text, 20 }, { text, SIZE_MAX - 10 } };
    assert_int_equal(sb_broadcast_write(&b, too_long, 2), -1);
    assert_int_equal(sb_broadcast_write(&b, wraps, 2), -1);
    assert_int_equal(sb_broadcast_next(&b), next);
    assert_int_equal(sb_broadcast_read(&b, next - 1, got), 1);
    sb_broadcast_close(&b);
}

/* ---- readers against a fast writer --------------------------------------------------------------------- */

#define WORDS 20001 /* of 8 bytes, and 4 bytes more */
#define PLACES 2
#define READERS 3
#define SOUND 3000 /* records that every reader shall get */

typedef struct {
    sb_broadcast broadcast;
    atomic_bool *stop;
    unsigned seed;
    uint64_t sound, lost, torn;
} party;

static void *write_until_stopped(void *arg)
{
    party *r = arg;
    static uint64_t record[WORDS + 1]; /* one writer */
    for (uint64_t n = 0; !atomic_load(r->stop); n++) {
        for (int i = 0; i <= WORDS; i++)
            record[i] = n * 0x100000001ull; /* both halves, for the 4 bytes at the end */
        const sb_broadcast_part parts[] = { { record, 12 }, { (char *)record + 12, sizeof record - 16 } };
        if (sb_broadcast_write(&r->broadcast, parts, 2) != 0)
            abort();
    }
    return NULL;
}

static void *read_many(void *arg)
{
    party *r = arg;
    uint64_t record[WORDS + 1] = { 0 };
    while (r->sound < SOUND) {
        uint64_t next = sb_broadcast_next(&r->broadcast), back = (uint64_t)rand_r(&r->seed) % (PLACES + 1);
        if (next < back)
            continue;
        int rc = sb_broadcast_read(&r->broadcast, next - back,
                                   record); /* back 0: the one that is being written now */
        if (rc == -2)
            r->lost++;
        if (rc != 1)
            continue;
        uint64_t expected = (next - back) * 0x100000001ull;
        int same = memcmp(&record[WORDS], &expected, 4) == 0;
        for (int i = 0; i < WORDS; i++)
            same &= record[i] == expected;
        r->sound++;
        r->torn += !same;
    }
    return NULL;
}

static void test_torn_records_are_never_returned(void **state)
{
    (void)state;
    atomic_bool stop = false;
    party writer = { .stop = &stop }, readers[READERS];
    pthread_t threads[1 + READERS];
    assert_int_equal(
        sb_broadcast_create(&writer.broadcast, SB_SEGMENT_EMBEDDINGS, PLACES, WORDS * sizeof(uint64_t) + 4),
        0);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (party){ .seed = (unsigned)i };
        assert_int_equal(
            sb_broadcast_join(&readers[i].broadcast, SB_SEGMENT_EMBEDDINGS, &writer.broadcast.segment.ticket),
            0);
        assert_int_equal(pthread_create(&threads[1 + i], NULL, read_many, &readers[i]), 0);
    }
    assert_int_equal(pthread_create(&threads[0], NULL, write_until_stopped, &writer), 0);
    uint64_t lost = 0;
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[1 + i], NULL), 0);
        assert_int_equal(readers[i].torn, 0);
        lost += readers[i].lost;
        sb_broadcast_close(&readers[i].broadcast);
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_true(lost > 0); /* else nothing was ever overwritten under a reader's hands */
    sb_broadcast_close(&writer.broadcast);
}

/* A reader in another process that is stopped within its read, and one that never reads: the writer goes on.
 */
static void test_a_stopped_reader_costs_nothing(void **state)
{
    (void)state;
    sb_broadcast b;
    static char record[1 << 20], got[1 << 20];
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_WEIGHTS, 2, sizeof record), 0);
    assert_int_equal(write_one(&b, record, sizeof record), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sb_broadcast reader;
        uint64_t last = 0;
        if (sb_broadcast_join(&reader, SB_SEGMENT_WEIGHTS, &b.segment.ticket) != 0)
            _exit(1);
        raise(SIGSTOP);
        while (last < 40) {
            uint64_t next = sb_broadcast_next(&reader);
            if (sb_broadcast_read(&reader, next - 1, got) != 1)
                continue;
            for (size_t i = 0; i < sizeof got; i++)
                if (got[i] != (char)(next - 1))
                    _exit(2);
            last = next;
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    for (int n = 1; n < 40; n++) {
        memset(record, n, sizeof record);
        assert_int_equal(write_one(&b, record, sizeof record), 0);
    }
    assert_int_equal(sb_broadcast_next(&b), 40);
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    sb_broadcast_close(&b);
}

static void test_a_reader_cannot_write(void **state)
{
    (void)state;
    sb_broadcast b, reader;
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_EMBEDDINGS, 2, 8), 0);
    assert_int_equal(sb_broadcast_join(&reader, SB_SEGMENT_EMBEDDINGS, &b.segment.ticket), 0);
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    assert_true(zero >= 0);
    assert_int_equal(read(zero, reader.segment.payload, 8),
                     -1); /* the kernel tries, without a signal for us */
    assert_int_equal(errno, EFAULT);
    close(zero);
    sb_broadcast_close(&reader);
    sb_broadcast_close(&b);
}

static void test_hostile_headers_are_refused(void **state)
{
    (void)state;
    sb_broadcast b, reader;
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_EMBEDDINGS, 0, 8), -1);
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_EMBEDDINGS, 1, 0), -1);
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_EMBEDDINGS, UINT32_MAX, 8), -1);
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_EMBEDDINGS, 1, SIZE_MAX), -1);
    assert_int_equal(sb_broadcast_create(&b, SB_SEGMENT_EMBEDDINGS, 4, 100), 0);
    const sb_segment_ticket *ticket = &b.segment.ticket;
    struct {
        uint32_t count, padding;
        uint64_t record_bytes;
    } *header = b.segment.payload;
    const struct {
        uint32_t count;
        uint64_t record_bytes;
    } cases[] = { { 0, 100 },
                  { 5, 100 },
                  { 3, 100 },
                  { UINT32_MAX, 100 },
                  { 4, 0 },
                  { 4, 1000 },
                  { 4, UINT64_MAX },
                  { 4, UINT64_MAX - 200 },
                  { 4, (1ull << 62) + 100 },
                  { 1u << 31, 1ull << 40 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        header->count = cases[i].count;
        header->record_bytes = cases[i].record_bytes;
        assert_int_equal(sb_broadcast_join(&reader, SB_SEGMENT_EMBEDDINGS, ticket), -1);
        assert_non_null(strstr(sb_error(), "does not fit its segment"));
        assert_null(reader.segment.mapping);
    }
    header->count = 4;
    header->record_bytes = 100;
    assert_int_equal(sb_broadcast_join(&reader, SB_SEGMENT_WEIGHTS, ticket), -1);
    assert_int_equal(sb_broadcast_join(&reader, SB_SEGMENT_EMBEDDINGS, ticket), 0);
    /* What the header says later is no longer read; a sequence number of another place is noticed. */
    header->count = 1000000;
    header->record_bytes = 1ull << 40;
    char got[100];
    assert_int_equal(sb_broadcast_read(&reader, 1001, got), 0);
    uint64_t wrong = 7;
    memcpy((char *)b.segment.payload + 128, &wrong, sizeof wrong);
    assert_int_equal(sb_broadcast_read(&reader, 0, got), -1);
    assert_non_null(strstr(sb_error(), "belongs elsewhere"));
    sb_broadcast_close(&reader);
    sb_broadcast_close(&b);
    sb_broadcast_close(&b);

    sb_segment tiny; /* too small for any header */
    assert_int_equal(sb_segment_create(&tiny, SB_SEGMENT_EMBEDDINGS, 8), 0);
    assert_int_equal(sb_broadcast_join(&reader, SB_SEGMENT_EMBEDDINGS, &tiny.ticket), -1);
    sb_segment_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_records_are_counted),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_parts_of_any_length),
        cmocka_unit_test(test_torn_records_are_never_returned),
        cmocka_unit_test(test_a_stopped_reader_costs_nothing),
        cmocka_unit_test(test_a_reader_cannot_write),
        cmocka_unit_test(test_hostile_headers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
