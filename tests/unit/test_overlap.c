/* test_overlap.c: which squares share a pixel, and whether any of a batch do (kernels/share/overlap.h,
 * trainer/overlap.h), against a look at every pixel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/random.h"
#include "trainer/overlap.h"

#define EDGE 12 /* of the images here */
#define MOST 24 /* squares of a batch */

static bool covers(const sb_square *s, int x, int y)
{
    return x >= s->left && x < s->left + s->side && y >= s->top && y < s->top + s->side;
}

static bool share(const sb_square *a, const sb_square *b)
{
    for (int y = 0; y < EDGE && a->image == b->image; y++)
        for (int x = 0; x < EDGE; x++)
            if (covers(a, x, y) && covers(b, x, y))
                return true;
    return false;
}

static sb_square draw(sb_random *random, uint32_t images, uint32_t sides)
{
    const int32_t side = (int32_t)sb_random_below(random, sides);
    const uint32_t room = (uint32_t)(EDGE + 1 - side);
    return (sb_square){ (int32_t)sb_random_below(random, images), (int32_t)sb_random_below(random, room),
                        (int32_t)sb_random_below(random, room), side };
}

static void pairs(void **state)
{
    (void)state;
    sb_random random;
    int found[2] = { 0 };
    sb_random_init(&random, 1, SB_RANDOM_EVALUATE, 0, 0, 0);
    for (int i = 0; i < 20000; i++) {
        const sb_square a = draw(&random, 2, 7), b = draw(&random, 2, 7);
        assert_int_equal(sb_overlap(&a, &b), share(&a, &b));
        assert_int_equal(sb_overlap(&b, &a), share(&a, &b));
        found[share(&a, &b)]++;
    }
    assert_true(found[0] > 1000 && found[1] > 1000);
}

static void batches(void **state)
{
    (void)state;
    sb_random random;
    int found[2] = { 0 };
    sb_random_init(&random, 2, SB_RANDOM_EVALUATE, 0, 0, 0);
    for (int i = 0; i < 20000; i++) {
        sb_square places[MOST], before[MOST], sorted[MOST];
        const int count = (int)sb_random_below(&random, MOST + 1);
        const uint32_t images = 1 + sb_random_below(&random, 8);
        bool any = false;
        for (int k = 0; k < count; k++) {
            before[k] = places[k] = draw(&random, images, 4);
            for (int j = 0; j < k; j++)
                any = any || share(&places[j], &places[k]);
        }
        assert_int_equal(sb_any_overlap(places, count, sorted), any);
        assert_memory_equal(places, before, (size_t)count * sizeof *places);
        found[any]++;
    }
    assert_true(found[0] > 1000 && found[1] > 1000);
}

/* Where a square ends may be beyond the largest number. */
static void far_out(void **state)
{
    (void)state;
    const sb_square a = { 1, INT32_MAX - 2, 0, 9 }, b = { 1, INT32_MAX, 8, 9 },
                    c = { 1, INT32_MAX - 3, 0, 1 }, d = { 1, INT32_MIN, 0, INT32_MAX },
                    e = { -1, INT32_MAX, 8, 9 };
    sb_square sorted[4];
    assert_true(sb_overlap(&a, &b));
    assert_false(sb_overlap(&a, &c) || sb_overlap(&b, &c) || sb_overlap(&a, &d) || sb_overlap(&b, &e));
    assert_true(sb_any_overlap((sb_square[]){ d, b, c, a }, 4, sorted));
    assert_false(sb_any_overlap((sb_square[]){ d, b, c, e }, 4, sorted));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(pairs), cmocka_unit_test(batches),
                                        cmocka_unit_test(far_out) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
