/* The order of the samples: every one once an epoch, windows and distinct groups hold, tiles lie where they
 * may, and everything is a function of (seed, epoch, position, attempt) alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "augment/order.h"
#include "proto/error.h"
#include "proto/random.h"

#define IMAGES 23
#define TILE 32

static sb_augment_keys config;
static sb_image images[IMAGES];
static sb_index dataset;

/* Image i has 1 + i mod 5 tiles in a row and 1 + i mod 3 below one another, in a training region that does
 * not begin at 0; every four images are a group. */
static int set_up(void **state)
{
    (void)state;
    sb_config nothing;
    sb_config_init(&nothing);
    int rc = sb_config_set(&nothing, "data.path=/tmp") != 0 || sb_augment_keys_read(&nothing, &config) != 0;
    sb_config_free(&nothing);
    if (rc != 0)
        return -1;
    config.data.tile = TILE;
    config.data.window = 4;
    config.data.tiles_per_image = 1;
    config.trainer.batch = 8;
    config.common.seed = 5;
    dataset = (sb_index){ .images = images, .count = IMAGES, .tile = TILE };
    for (uint32_t i = 0; i < IMAGES; i++) {
        sb_region train = { .left = 7,
                            .top = (int)i,
                            .width = TILE * (1 + (int)i % 5) + (int)i % 7,
                            .height = TILE * (1 + (int)i % 3) + (int)i % 2 };
        images[i] = (sb_image){ .group = i / 4, .train = train, .tiles = (1 + i % 5) * (1 + i % 3) };
    }
    return 0;
}

static sb_order *new_order(void)
{
    sb_order *order;
    assert_int_equal(sb_order_create(&order, &dataset, &config), 0);
    return order;
}

static uint64_t total(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < IMAGES; i++)
        sum += (uint64_t)images[i].tiles * (uint64_t)config.data.tiles_per_image;
    return sum;
}

static sb_tile tile_of(sb_order *order, uint64_t n, uint32_t attempt)
{
    sb_tile tile;
    assert_int_equal(sb_order_sample(order, n, attempt, &tile), 0);
    return tile;
}

static void assert_inside(const sb_tile *t)
{
    const sb_region *r = &images[t->image].train;
    assert_true(t->left >= r->left && t->left + TILE <= r->left + r->width);
    assert_true(t->top >= r->top && t->top + TILE <= r->top + r->height);
}

static void assert_same(sb_tile a, sb_tile b)
{
    assert_int_equal(a.image, b.image);
    assert_int_equal(a.left, b.left);
    assert_int_equal(a.top, b.top);
}

/* How often each image comes in epoch `epoch`: never more often than it has samples, and short by the dropped
 * batch alone. */
static void assert_each_once(sb_order *order, uint64_t epoch)
{
    uint64_t length = sb_order_epoch_samples(order), short_by = 0;
    uint32_t seen[IMAGES] = { 0 };
    for (uint64_t p = 0; p < length; p++) {
        sb_tile t = tile_of(order, epoch * length + p, 0);
        seen[t.image]++;
        assert_inside(&t);
    }
    for (uint32_t i = 0; i < IMAGES; i++) {
        uint32_t samples = images[i].tiles * (uint32_t)config.data.tiles_per_image;
        assert_true(seen[i] <= samples);
        short_by += samples - seen[i];
    }
    assert_int_equal(short_by, total() - length);
}

static void test_an_epoch_has_each_sample_once(void **state)
{
    (void)state;
    for (int groups = SB_GROUPS_ANY; groups <= SB_GROUPS_DISTINCT; groups++)
        for (int window = 1; window <= 64; window *= 4) {
            config.batch.groups = (sb_groups)groups;
            config.data.window = window;
            config.trainer.batch = groups == SB_GROUPS_ANY ? 8 : 4;
            config.data.tiles_per_image = window == 4 ? 3 : 1;
            sb_order *order = new_order();
            uint64_t batch = (uint64_t)config.trainer.batch, length = sb_order_epoch_samples(order);
            assert_int_equal(length, total() / batch * batch);
            for (uint64_t epoch = 0; epoch < 3; epoch++)
                assert_each_once(order, epoch);
            sb_order_destroy(&order);
        }
}

/* A grid: each of an image's places once, and together they cover it. */
static void test_a_grid_has_each_place_once(void **state)
{
    (void)state;
    config.data.place = SB_PLACE_GRID;
    config.trainer.batch = 1;
    config.data.tiles_per_image = 2;
    sb_order *order = new_order();
    int seen[IMAGES][5][3] = { 0 };
    for (uint64_t p = 0; p < sb_order_epoch_samples(order); p++) {
        sb_tile t = tile_of(order, p, 0);
        int x = t.left - images[t.image].train.left, y = t.top - images[t.image].train.top;
        assert_int_equal(x % TILE, 0);
        assert_int_equal(y % TILE, 0);
        assert_inside(&t);
        seen[t.image][x / TILE][y / TILE]++;
    }
    for (int i = 0; i < IMAGES; i++)
        for (int x = 0; x < 5; x++)
            for (int y = 0; y < 3; y++)
                assert_int_equal(seen[i][x][y], x < 1 + i % 5 && y < 1 + i % 3 ? 2 : 0);
    sb_order_destroy(&order);
}

static void test_a_placed_tile_stays(void **state)
{
    (void)state;
    images[3].placed = true;
    images[3].left = 1000;
    images[3].top = 2000;
    sb_order *order = new_order();
    int seen = 0;
    for (uint64_t n = 0; n < 3 * sb_order_epoch_samples(order); n++) {
        sb_tile t = tile_of(order, n, 0);
        if (t.image == 3) {
            assert_int_equal(t.left, 1000);
            assert_int_equal(t.top, 2000);
            seen++;
        }
    }
    assert_true(seen > 0);
    sb_order_destroy(&order);
}

/* Whoever is taken before all samples of the last `window` images are used up would have to decode a
 * photograph twice. */
static void test_windows_hold(void **state)
{
    (void)state;
    config.trainer.batch = 1;
    for (int window = 1; window <= IMAGES; window++) {
        config.data.window = window;
        sb_order *order = new_order();
        uint64_t length = sb_order_epoch_samples(order);
        for (uint64_t epoch = 0; epoch < 2; epoch++) {
            uint32_t left[IMAGES] = { 0 }, open = 0, in_window = 0;
            for (uint64_t p = 0; p < length; p++) {
                uint32_t image = tile_of(order, epoch * length + p, 0).image;
                if (left[image] == 0) {
                    if (in_window == (uint32_t)window) {
                        assert_int_equal(open, 0);
                        in_window = 0;
                    }
                    in_window++;
                    open += left[image] = images[image].tiles;
                }
                left[image]--;
                open--;
            }
            assert_int_equal(open, 0);
        }
        sb_order_destroy(&order);
    }
}

static void test_groups_are_distinct(void **state)
{
    (void)state;
    config.batch.groups = SB_GROUPS_DISTINCT;
    for (int batch = 1; batch <= 4; batch++) {
        config.trainer.batch = batch;
        sb_order *order = new_order();
        for (uint64_t n = 0; n < 3 * sb_order_epoch_samples(order); n += (uint64_t)batch) {
            int seen[IMAGES] = { 0 };
            for (int k = 0; k < batch; k++)
                assert_int_equal(seen[images[tile_of(order, n + (uint64_t)k, 0).image].group]++, 0);
        }
        sb_order_destroy(&order);
    }
    config.trainer.batch = 7; /* six groups */
    sb_order *order;
    assert_int_equal(sb_order_create(&order, &dataset, &config), -1);
    assert_non_null(strstr(sb_error(), "batch.groups"));
    assert_non_null(strstr(sb_error(), "trainer.batch"));
}

/* An epoch can be dealt if and only if r batches find, in every group, as many entries as they may take of
 * it: then it is. */
static void test_distinct_groups_are_dealt_where_they_can_be(void **state)
{
    (void)state;
    config.batch.groups = SB_GROUPS_DISTINCT;
    sb_random random;
    sb_random_init(&random, 1, SB_RANDOM_IMAGES, 0, 0, 0);
    int dealt = 0, tight = 0;
    for (int trial = 0; trial < 2000; trial++) {
        uint64_t sizes[IMAGES] = { 0 }, room = 0;
        uint32_t groups = 1 + sb_random_below(&random, 8);
        config.common.seed = (uint64_t)trial;
        config.trainer.batch = 1 + (int)sb_random_below(&random, groups);
        for (uint32_t i = 0; i < IMAGES; i++) {
            images[i].tiles = 1 + sb_random_below(&random, 5);
            uint32_t group = sb_random_below(&random, groups);
            images[i].group = UINT32_MAX - 2 - 1000 * group; /* an edited index may have any number */
            sizes[group] += images[i].tiles;
        }
        uint64_t batches = total() / (uint64_t)config.trainer.batch;
        for (uint32_t g = 0; g < groups; g++)
            room += sizes[g] < batches ? sizes[g] : batches;
        sb_order *order = NULL;
        int rc = sb_order_create(&order, &dataset, &config);
        assert_int_equal(rc, room >= batches * (uint64_t)config.trainer.batch ? 0 : -1);
        if (rc != 0)
            continue;
        dealt++;
        tight += room == batches * (uint64_t)config.trainer.batch;
        assert_each_once(order, 0);
        sb_order_destroy(&order);
    }
    assert_true(dealt > 500 && dealt < 1900 && tight > 20);
}

static void test_too_few_samples_are_refused(void **state)
{
    (void)state;
    config.trainer.batch = (int)total() + 1;
    sb_order *order;
    assert_int_equal(sb_order_create(&order, &dataset, &config), -1);
    assert_non_null(strstr(sb_error(), "trainer.batch"));
}

/* In any order of asking, from any object; planned samples and replacements alike. */
static void test_a_pure_function(void **state)
{
    (void)state;
    sb_order *order = new_order(), *other = new_order();
    uint64_t count = 3 * sb_order_epoch_samples(order);
    for (uint64_t n = 0; n < count; n++)
        for (uint32_t attempt = 0; attempt < 3; attempt++) {
            sb_tile t = tile_of(order, n, attempt);
            assert_inside(&t);
            if (n % 7 == 0) {
                assert_int_equal(tile_of(other, count - 1 - n, 5 - attempt).image,
                                 tile_of(order, count - 1 - n, 5 - attempt).image);
                assert_same(tile_of(other, n, attempt), t);
            }
        }
    /* The order is not what a replacement depends on: neither the window nor the groups change it. */
    config.data.window = 1;
    sb_order *narrow = new_order();
    for (uint64_t n = 0; n < count; n++)
        assert_same(tile_of(narrow, n, 1), tile_of(order, n, 1));
    sb_order_destroy(&order);
    sb_order_destroy(&other);
    sb_order_destroy(&narrow);
}

/* Seeds, epochs, positions and attempts give different samples: equal ones are as rare as chance has them (1
 * of 23 images). */
static void test_nothing_repeats(void **state)
{
    (void)state;
    sb_augment_keys seeded = config;
    seeded.common.seed++;
    sb_order *order = new_order(), *moved;
    assert_int_equal(sb_order_create(&moved, &dataset, &seeded), 0);
    uint64_t length = sb_order_epoch_samples(order);
    const struct {
        sb_order *order;
        uint64_t shift;
        uint32_t attempt, other;
    } pairs[] = { { moved, 0, 0, 0 }, { moved, 0, 1, 1 }, { order, length, 0, 0 }, { order, length, 1, 1 },
                  { order, 1, 1, 1 }, { order, 0, 1, 2 }, { order, 0, 0, 1 } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        uint64_t equal = 0;
        for (uint64_t p = 0; p < length; p++)
            equal += tile_of(order, p, pairs[i].attempt).image ==
                     tile_of(pairs[i].order, p + pairs[i].shift, pairs[i].other).image;
        assert_true(equal < length / 4);
    }
    sb_order_destroy(&order);
    sb_order_destroy(&moved);
}

/* Replacements are uniform over the images, places uniform over the region: chi-square, 1e-4 of 22 and 20
 * degrees of freedom. */
static void test_chances(void **state)
{
    (void)state;
    images[0].train.width = TILE + 20;
    images[0].train.height = TILE;
    sb_order *order = new_order();
    uint64_t count = 20000;
    double seen[IMAGES] = { 0 }, places[21] = { 0 }, all = 0, square = 0;
    for (uint64_t n = 0; n < count; n++) {
        sb_tile t = tile_of(order, n, 1);
        seen[t.image]++;
        if (t.image == 0) {
            places[t.left - images[0].train.left]++;
            all++;
        }
    }
    for (int i = 0; i < IMAGES; i++)
        square += (seen[i] - (double)count / IMAGES) * (seen[i] - (double)count / IMAGES) /
                  ((double)count / IMAGES);
    assert_true(square < 57.0);
    square = 0;
    for (int i = 0; i < 21; i++)
        square += (places[i] - all / 21) * (places[i] - all / 21) / (all / 21);
    assert_true(square < 53.9);
    sb_order_destroy(&order);
}

/* A large image, one tile, one that is smaller than a tile, and a row of five: few of their tiles are spread
 * evenly over all, and do not end in the large image. */
static void test_held_out_tiles_are_spread(void **state)
{
    (void)state;
    sb_image held[4] = { { .test = { 0, 0, 10 * TILE, 10 * TILE + 1 } },
                         { .test = { 3, 5, TILE, TILE } },
                         { .test = { 0, 0, TILE / 2, TILE / 2 } },
                         { .test = { 7, 0, 5 * TILE, TILE } } };
    const sb_index index = { .images = held, .count = 4, .tile = TILE };
    sb_tile *all, *some;
    assert_int_equal(sb_index_test_tiles(&index, 1000, &all), 107);
    const int few[] = { 2, 10, 106, 107 };
    for (size_t f = 0; f < sizeof few / sizeof *few; f++) {
        assert_int_equal(sb_index_test_tiles(&index, few[f], &some), few[f]);
        for (int i = 0, at = 0, last = -1; i < few[f]; i++, last = at++) {
            while (at < 107 && memcmp(&all[at], &some[i], sizeof *all) != 0)
                at++;
            assert_in_range(at, 0, 106);
            assert_in_range(at - last, 107 / few[f], (107 + few[f] - 1) / few[f]);
            assert_true(i < few[f] - 1 || at == 106);
        }
        free(some);
    }
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_out_tiles_are_spread),
        cmocka_unit_test_setup(test_an_epoch_has_each_sample_once, set_up),
        cmocka_unit_test_setup(test_a_grid_has_each_place_once, set_up),
        cmocka_unit_test_setup(test_a_placed_tile_stays, set_up),
        cmocka_unit_test_setup(test_windows_hold, set_up),
        cmocka_unit_test_setup(test_groups_are_distinct, set_up),
        cmocka_unit_test_setup(test_distinct_groups_are_dealt_where_they_can_be, set_up),
        cmocka_unit_test_setup(test_too_few_samples_are_refused, set_up),
        cmocka_unit_test_setup(test_a_pure_function, set_up),
        cmocka_unit_test_setup(test_nothing_repeats, set_up),
        cmocka_unit_test_setup(test_chances, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
