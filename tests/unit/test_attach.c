/* What an evaluator measures of a live run's embeddings (evaluator/attach.h), read from a broadcast as its
 * trainer writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "evaluator/attach.h"

enum { WIDTH = 2, RECORDS = 8 };

static sb_attachment a;

static int begin(void **state)
{
    (void)state;
    const size_t bytes = sizeof(sb_embedding_head) + WIDTH * sizeof(float);
    a = (sb_attachment){ .weights = { .segment = { .fd = -1 } }, .trainer = -1 };
    a.record_memory = calloc(RECORDS, bytes);
    a.record = calloc(RECORDS, sizeof(sb_embedding_head *));
    a.vectors = calloc(RECORDS, bytes);
    return a.record_memory && a.record && a.vectors &&
                   sb_broadcast_create(&a.embeddings, SB_SEGMENT_EMBEDDINGS, RECORDS, bytes) == 0
               ? 0
               : -1;
}

static int end(void **state)
{
    (void)state;
    sb_detach(&a);
    return 0;
}

/* Of sample `position`; view 1 is orthogonal to view 0. */
static void publish(uint64_t position, uint32_t view)
{
    const sb_embedding_head head = { .step = 1, .position = position, .view = view, .width = WIDTH };
    const float vector[WIDTH] = { view ? 0 : 3, view ? 0.5F : 0 };
    const sb_broadcast_part parts[] = { { &head, sizeof head }, { vector, sizeof vector } };
    assert_int_equal(sb_broadcast_write(&a.embeddings, parts, 2), 0);
}

static void check(uint32_t count, uint32_t missed, double alignment)
{
    sb_stream_measures m;
    assert_int_equal(sb_attachment_measure(&a, &m), 0);
    assert_int_equal(m.count, count);
    assert_int_equal(m.missed, missed);
    assert_float_equal(m.alignment, alignment, 1e-6);
}

/* The second view of a sample comes after a look: neither is lost, and they are a pair. */
static void test_single(void **state)
{
    (void)state;
    check(0, 0, 0);
    publish(5, 0);
    check(0, 0, 0);
    publish(5, 1);
    check(2, 0, 2);
    check(0, 0, 0);
}

/* What was overwritten is counted, also behind one that was left. */
static void test_missed(void **state)
{
    (void)state;
    publish(0, 0);
    check(0, 0, 0);
    for (uint64_t i = 1; i < RECORDS + 3; i++)
        publish(i, 0);
    check(RECORDS, 3, 0);
    check(0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(test_single, begin, end),
                                        cmocka_unit_test_setup_teardown(test_missed, begin, end) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
