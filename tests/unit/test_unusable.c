/* What cannot be used: images for good, tiles, and files that are away, by a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "augment/unusable.h"
#include "loader/quarantine.h"
#include "proto/error.h"
#include "proto/rundir.h"

#define IMAGES 10
#define S 1000000000ull /* a second */

static char folder[64] = "/tmp/smallbatch-unusable-XXXXXX", root[] = "/data/";
static const char names[] = "0.tif\0"
                            "1.tif\0"
                            "2.tif\0"
                            "3.tif\0"
                            "4.tif\0"
                            "5.tif\0"
                            "6.tif\0"
                            "7.tif\0"
                            "8.tif\0"
                            "9.tif";
static sb_image images[IMAGES];
static const sb_index dataset = {
    .images = images, .count = IMAGES, .names = names, .name_bytes = sizeof names, .root = root, .tile = 64
};
static sb_augment_keys keys = { .data = { .max_bad = 0.2 }, .loader = { .timeout = 10 } };
static sb_unusable *u;

static sb_tile tile(uint32_t image, int left) { return (sb_tile){ .image = image, .left = left, .top = 0 }; }
static sb_tile_state state(uint32_t image, int left, uint64_t now)
{
    const sb_tile t = tile(image, left);
    return sb_unusable_tile_state(u, &t, now);
}
static int bad_tile(uint32_t image, int left)
{
    const sb_tile t = tile(image, left);
    return sb_unusable_tile(u, &t, "as a test");
}
static int bad_image(uint32_t image)
{
    const sb_tile t = tile(image, 0);
    return sb_unusable_image(u, &t, "as a test");
}
static void away(uint32_t image, uint64_t now)
{
    const sb_tile t = tile(image, 0);
    assert_int_equal(sb_unusable_away(u, &t, "as a test", now), 0);
}
static void decoded(uint32_t image)
{
    const sb_tile t = tile(image, 0);
    sb_unusable_decoded(u, &t);
}

static void count_line(void *context, const char *name, int page, const sb_tile *only)
{
    int *counts = context; /* whole images, tiles */
    assert_true(name[1] == '.' && page == 0);
    counts[only != NULL]++;
}

/* quarantine.jsonl has so many lines. */
static void lines_are(int whole, int tiles)
{
    int counts[2] = { 0 };
    assert_int_equal(sb_quarantine_read(folder, count_line, counts), 0);
    assert_int_equal(counts[0], whole);
    assert_int_equal(counts[1], tiles);
}

static void begin(void)
{
    sb_unusable_destroy(&u);
    assert_int_equal(sb_unusable_create(&u, folder, &dataset, &keys), 0);
}

/* Of an empty quarantine, with images that are decoded tile by tile or whole. */
static void begin_anew(bool random_access)
{
    char path[PATH_MAX];
    for (uint32_t i = 0; i < IMAGES; i++)
        images[i] = (sb_image){ .name = (uint64_t)6 * i, .file = i, .random_access = random_access };
    assert_int_equal(sb_rundir_path(path, folder, "quarantine.jsonl"), 0);
    remove(path);
    begin();
}

static void test_images(void **unused)
{
    (void)unused;
    begin_anew(false);
    assert_int_equal(bad_image(3), 0);
    assert_int_equal(bad_image(3), 0); /* said twice, by two loaders */
    assert_int_equal(state(3, 0, 0), SB_TILE_OUT);
    assert_int_equal(state(4, 0, 0), SB_TILE_USABLE);
    lines_are(1, 0);
    begin(); /* augment has died */
    assert_int_equal(state(3, 0, 0), SB_TILE_OUT);
    assert_int_equal(sb_unusable_quarantined(u), 1);
    assert_int_equal(bad_image(4), 0);
    assert_int_equal(bad_image(5), -1);
    assert_non_null(strstr(sb_error(), "3 of 10 images cannot be used, more than data.max_bad = 0.2 allows"));
    sb_unusable_destroy(&u);
    assert_int_equal(sb_unusable_create(&u, folder, &dataset, &keys), -1);
}

/* Who names the file beside the reason does not name it twice. */
static void test_reasons(void **unused)
{
    (void)unused;
    assert_string_equal(sb_quarantine_reason("a/b.jpg", "/data/a/b.jpg: cut off"), "cut off");
    assert_string_equal(sb_quarantine_reason("../b.jpg", "/data/b.jpg: cut off: at 5"), "cut off: at 5");
    assert_string_equal(sb_quarantine_reason("/b.jpg", "/b.jpg: cut off"), "cut off");
    const char *const others[] = {
        "/data/b.jpg: cut off", "a/b.jpg: cut off",       "cut off", "", "/", "/data/a/b.jpg",
        "/data/a/b.jpg:",       "/data/xa/b.jpg: cut off"
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_ptr_equal(sb_quarantine_reason("a/b.jpg", others[i]), others[i]);
}

static void test_faults(void **unused)
{
    (void)unused;
    const sb_tile whole = tile(1, 0), one = tile(2, 64);
    begin_anew(false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sb_unusable_fault(u, &whole, "hung"), i == 2);
    lines_are(1, 0);
    begin_anew(true);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sb_unusable_fault(u, &one, "hung"), i == 2);
    assert_int_equal(state(2, 64, 0), SB_TILE_OUT);
    assert_int_equal(state(2, 0, 0), SB_TILE_USABLE);
    lines_are(0, 1);
}

/* Three bad tiles, of a file of which nothing was decoded, and of one of which something was. */
static void test_tiles(void **unused)
{
    (void)unused;
    begin_anew(true);
    assert_int_equal(bad_tile(1, 0), 0);
    assert_int_equal(bad_tile(1, 0), 0); /* the same */
    assert_int_equal(bad_tile(1, 64), 0);
    assert_int_equal(state(1, 0, 0), SB_TILE_OUT);
    assert_int_equal(state(1, 128, 0), SB_TILE_USABLE);
    assert_int_equal(bad_tile(1, 128), 0);
    assert_int_equal(state(1, 192, 0), SB_TILE_OUT);
    assert_int_equal(bad_tile(1, 192), 0); /* was under way */
    lines_are(1, 3);
    assert_int_equal(sb_unusable_quarantined(u), 1);
    decoded(2);
    for (int left = 0; left < 100; left++)
        assert_int_equal(bad_tile(2, left), 0);
    assert_int_equal(state(2, 1, 0), SB_TILE_OUT);
    assert_int_equal(state(2, 50, 0), SB_TILE_USABLE); /* as far as is known */
    lines_are(1, 6);
    begin();
    assert_int_equal(state(2, 1, 0), SB_TILE_OUT);
    assert_int_equal(bad_tile(2, 60), 0);
    assert_int_equal(bad_tile(2, 61), 0);
    decoded(2);
    assert_int_equal(bad_tile(2, 62), 0);
    lines_are(1, 6);
    assert_int_equal(state(2, 63, 0), SB_TILE_USABLE);
}

static void test_away(void **unused)
{
    (void)unused;
    const int pauses[] = { 2, 4, 8, 16, 32, 64, 64, 64 };
    uint64_t now = 100 * S;
    begin_anew(false);
    away(1, now);
    away(1, now); /* two tiles of it at once */
    assert_int_equal(sb_unusable_away_count(u), 1);
    assert_int_equal(state(1, 0, now), SB_TILE_WAITED_FOR);
    assert_int_equal(state(1, 0, now += S), SB_TILE_USABLE);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        away(1, now);
        assert_int_equal(state(1, 0, now), SB_TILE_OUT);
        now += (uint64_t)pauses[i] * S;
        assert_int_equal(state(1, 0, now - 1), SB_TILE_OUT);
        assert_int_equal(state(1, 0, now), SB_TILE_USABLE);
    }
    decoded(1);
    assert_int_equal(sb_unusable_away_count(u), 0);
    assert_int_equal(state(1, 0, now), SB_TILE_USABLE);
    away(1, now); /* anew */
    assert_int_equal(state(1, 0, now), SB_TILE_WAITED_FOR);
    assert_int_equal(bad_image(1), 0); /* it came back, and is damaged */
    assert_int_equal(sb_unusable_away_count(u), 0);
    lines_are(1, 0);
}

/* Three of ten with data.max_bad = 0.2: none takes their place, and in the end the run says so. */
static void test_many_away(void **unused)
{
    (void)unused;
    uint64_t now = 100 * S;
    begin_anew(false);
    for (uint32_t i = 0; i < 2; i++) {
        away(i, now);
        away(i, now + S);
    }
    now += S;
    assert_int_equal(state(0, 0, now), SB_TILE_OUT);
    away(2, now);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(state(i, 0, now), SB_TILE_WAITED_FOR);
    assert_int_equal(sb_unusable_look(u, false, now), 0);
    assert_int_equal(sb_unusable_look(u, true, now + 50 * S), 0);
    assert_int_equal(sb_unusable_look(u, true, now + 51 * S), -1);
    assert_non_null(strstr(sb_error(), "3 of 10 images cannot be read"));
    decoded(2);
    assert_int_equal(state(0, 0, now), SB_TILE_OUT);
    lines_are(0, 0);
}

static bool is_first(void *context, const char *name, int page)
{
    (void)context;
    return name[0] == '1' && page == 0;
}

/* What was mended is taken out, with its tiles, and nothing else. */
static void test_mended(void **unused)
{
    (void)unused;
    begin_anew(true);
    for (int left = 0; left < 3; left++)
        assert_int_equal(bad_tile(1, left), 0);
    decoded(2);
    assert_int_equal(bad_tile(2, 0), 0);
    lines_are(1, 4);
    assert_int_equal(sb_quarantine_drop(folder, is_first, NULL), 0);
    lines_are(0, 1);
    begin();
    assert_int_equal(state(1, 0, 0), SB_TILE_USABLE);
    assert_int_equal(state(2, 0, 0), SB_TILE_OUT);
    assert_int_equal(sb_unusable_quarantined(u), 0);
}

static int make_folder(void **unused)
{
    (void)unused;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **unused)
{
    (void)unused;
    char path[PATH_MAX];
    sb_unusable_destroy(&u);
    if (sb_rundir_path(path, folder, "quarantine.jsonl") == 0)
        remove(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_images), cmocka_unit_test(test_reasons), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_tiles),  cmocka_unit_test(test_away),    cmocka_unit_test(test_many_away),
        cmocka_unit_test(test_mended),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
