/* test_shares.c: how the memory that may be used is divided between the processes of a run
 * (trainer/shares.h), and how many tiles the ring of tiles has (proto/layout.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/layout.h"
#include "trainer/shares.h"

#define MIB ((size_t)1 << 20)

/* Three images: one of 92 MiB, a small one, and a larger that is read tile by tile. */
#define NOTHING .label = UINT32_MAX, .value = { [0 ... SB_GUIDES_MAX - 1] = UINT32_MAX }
static sb_image images[] = {
    { NOTHING, .name = 0, .bytes = 5 * MIB, .width = 100, .height = 100 },
    { NOTHING, .name = 10, .bytes = 2 * MIB, .width = 7000, .height = 4600 },
    { NOTHING, .name = 20, .bytes = 900 * MIB, .width = 90000, .height = 90000, .random_access = 1 },
};
static const char names[] = "small.jpg\0large.jpg\0tiled.tif";
static char root[] = "photos/";
static const sb_index all_images = { .images = images,
                                     .count = 3,
                                     .names = names,
                                     .name_bytes = sizeof names,
                                     .root = root,
                                     .tile = 64,
                                     .largest = 1,
                                     .largest_pixels = (uint64_t)7000 * 4600,
                                     .largest_bytes = 5 * MIB };

static sb_shares shares(size_t mib, int loaders)
{
    return (sb_shares){ .may = { .available = mib * MIB, .limit = mib * MIB, .grouped = true },
                        .trainer = 433 * MIB,
                        .rings = 197 * MIB,
                        .augment = 48 * MIB,
                        .loaders = loaders,
                        .window = 16 };
}

static void divided(void **state)
{
    (void)state;
    const size_t beside = sb_index_beside(&all_images), large = sb_index_largest(&all_images, 3),
                 least = beside + large;
    sb_shares_loaders loaders = { 1, 1 };
    assert_int_equal(large, 7000 * 4600 * 3);
    assert_in_range(beside, 5 * MIB + 15 * MIB, 5 * MIB + 64 * MIB); /* the largest file that is read whole */
    sb_shares s = shares(1600, 2);
    assert_int_equal(sb_shares_divide(&s, &all_images, 3, &loaders), 0);
    assert_int_equal(loaders.bytes, (1400 - 433 - 197 - 48) * MIB); /* an eighth is left free */
    assert_int_equal(loaders.most, loaders.bytes / least);
    assert_in_range(loaders.most, 4, 6);
    s = shares(930, 2); /* it is not where the largest image needs it */
    assert_int_equal(sb_shares_divide(&s, &all_images, 3, &loaders), 0);
    assert_int_equal(loaders.bytes, 2 * least);
    assert_int_equal(loaders.most, 2);
    s = shares(0, 2);
    assert_int_equal(sb_shares_divide(&s, &all_images, 3, &loaders), 0);
    assert_int_equal(loaders.bytes, 0); /* unknown */
    assert_int_equal(loaders.most, 0);
}

static void refused(void **state)
{
    (void)state;
    sb_shares_loaders loaders;
    sb_shares s = shares(1000, 6);
    assert_int_equal(sb_shares_divide(&s, &all_images, 3, &loaders), -1);
    assert_non_null(strstr(sb_error(), "large.jpg decoded (7000 x 4600): lower run.loaders"));
    assert_non_null(strstr(sb_error(), "1000 MiB may be used (control group)"));
    s.cache = 50 * MIB; /* who says how much is believed */
    assert_int_equal(sb_shares_divide(&s, &all_images, 3, &loaders), 0);
    assert_int_equal(loaders.bytes, 0);
}

/* A run that was under way goes on with the least that it needs. */
static void short_again(void **state)
{
    (void)state;
    sb_shares_loaders loaders;
    sb_shares s = shares(700, 2);
    assert_int_equal(sb_shares_divide(&s, &all_images, 3, &loaders), -1);
    s.again = true;
    assert_int_equal(sb_shares_divide(&s, &all_images, 3, &loaders), 0);
    assert_int_equal(loaders.bytes, 2 * (sb_index_beside(&all_images) + sb_index_largest(&all_images, 3)));
    s = shares(1600, 2);
    s.again = true;
    assert_int_equal(sb_shares_divide(&s, &all_images, 3, &loaders), 0);
    assert_int_equal(loaders.bytes, (1400 - 433 - 197 - 48) * MIB);
}

static void tiles(void **state)
{
    (void)state;
    assert_int_equal(sb_layout_tiles(0, 16, 3 * MIB), 32 + SB_TILE_SPARES);
    assert_int_equal(sb_layout_tiles(0, 512, 3 * MIB), 85 + SB_TILE_SPARES); /* 256 MiB */
    assert_int_equal(sb_layout_tiles(0, 1, 3 * MIB), 8 + SB_TILE_SPARES);
    assert_int_equal(sb_layout_tiles(0, 512, 768 * MIB), 8 + SB_TILE_SPARES);
    assert_int_equal(sb_layout_tiles(3, 512, 768 * MIB), 3 + SB_TILE_SPARES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(divided),
        cmocka_unit_test(refused),
        cmocka_unit_test(short_again),
        cmocka_unit_test(tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
