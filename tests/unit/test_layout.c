/* Where views lie, on which augment and trainer have to agree without a message. The numbers are written out
 * here, not computed as the layout does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/layout.h"
#include "proto/ring.h"

static void is_at(const sb_layout *l, int view, uint64_t sample, int class, uint32_t slot,
                  uint32_t generation)
{
    sb_spot p = sb_layout_spot(l, view, sample);
    if (p.class != class || p.slot != slot || p.generation != generation)
        fail_msg("view %d of sample %llu: class %d slot %u generation %u, not %d, %u, %u", view,
                 (unsigned long long)sample, p.class, p.slot, p.generation, class, slot, generation);
}

/* Two views of 32 pixels and six of 16, of batches of 5: the small ones come first, whatever their order is.
 */
static void test_two_large_and_six_small(void **state)
{
    (void)state;
    const int sizes[] = { 32, 32, 16, 16, 16, 16, 16, 16 };
    sb_layout l;
    sb_layout_make(&l, sizes, 8, 5, 0, 3);
    assert_int_equal(l.class_count, 2);
    assert_int_equal(l.classes[0].size, 16);
    assert_int_equal(l.classes[0].count, 6);
    assert_int_equal(l.classes[0].slots, 60);
    assert_int_equal(l.classes[0].bytes, 768);
    assert_int_equal(l.classes[1].size, 32);
    assert_int_equal(l.classes[1].count, 2);
    assert_int_equal(l.classes[1].slots, 20);
    assert_int_equal(l.classes[1].bytes, 3072);
    is_at(&l, 0, 0, 1, 0, 0);
    is_at(&l, 1, 0, 1, 1, 0);
    is_at(&l, 2, 0, 0, 0, 0);
    is_at(&l, 7, 0, 0, 5, 0);
    is_at(&l, 2, 9, 0, 54, 0);
    is_at(&l, 7, 10, 0, 5, 1);
    is_at(&l, 1, 13, 1, 7, 1);
    is_at(&l, 0, 1000000000000, 1, 0, 1215752192); /* 2e12 / 20 = 1e11 = 23 2^32 + 1215752192 */
}

static void test_mixed_order(void **state)
{
    (void)state;
    const int sizes[] = { 24, 96, 24, 48, 96 };
    sb_layout l;
    sb_layout_make(&l, sizes, 5, 4, 3, 1);
    assert_int_equal(l.class_count, 3);
    const uint32_t slots[] = { 8 + 6, 4 + 4, 8 + 6 }; /* two chunks ahead, or a batch where that is less */
    for (int c = 0; c < 3; c++)
        assert_int_equal(l.classes[c].slots, slots[c]);
    is_at(&l, 0, 3, 0, 6, 0);
    is_at(&l, 2, 3, 0, 7, 0);
    is_at(&l, 3, 9, 1, 1, 1);
    is_at(&l, 1, 7, 2, 0, 1);
    is_at(&l, 4, 7, 2, 1, 1);
    assert_int_equal(l.classes[2].views[1], 4);
}

/* As two processes use it, from a sample on that is not the first: every view has a slot that is free for it,
 * and no two of what may be in the ring at once have the same. */
static void test_with_rings(void **state)
{
    (void)state;
    const int sizes[] = { 32, 32, 16, 16, 16, 16, 16, 16 }, batch = 5, step = 7;
    sb_layout l;
    sb_ring ring[2];
    sb_layout_make(&l, sizes, 8, batch, 4, 3);
    for (int c = 0; c < 2; c++)
        assert_int_equal(sb_ring_create(&ring[c], SB_SEGMENT_VIEWS, l.classes[c].slots, l.classes[c].bytes,
                                        sb_layout_first(&l, c, (uint64_t)(step * batch))),
                         0);
    for (int s = step; s < step + 6; s++) {
        for (int turn = 0; turn < 4; turn++) {
            for (int i = 0; i < batch; i++) {
                for (int v = 0; v < 8; v++) {
                    sb_spot p = sb_layout_spot(&l, v, (uint64_t)(s * batch + i));
                    sb_ring *r = &ring[p.class];
                    assert_true(turn == 0   ? sb_ring_claim(r, p.slot, p.generation, 1)
                                : turn == 1 ? sb_ring_publish(r, p.slot, p.generation, 1)
                                : turn == 2 ? sb_ring_acquire(r, p.slot, p.generation, 2)
                                            : sb_ring_release(r, p.slot, p.generation, 2));
                }
            }
        }
    }
    for (int c = 0; c < 2; c++)
        sb_ring_close(&ring[c]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_large_and_six_small),
        cmocka_unit_test(test_mixed_order),
        cmocka_unit_test(test_with_rings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
