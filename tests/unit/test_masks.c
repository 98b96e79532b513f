/* masks.h: counts by arithmetic, whole blocks, the same draw from the same numbers and another from others,
 * every cell as often as every other, and grids that are too small. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "trainer/masks.h"

#define CELLS_MAX 4096 /* 64 x 64 */

typedef struct {
    sb_masks masks;
    int32_t visible[CELLS_MAX], predicted[CELLS_MAX];
} drawn;

static drawn *create(int rows, int columns, int block, double hidden, double predicted)
{
    drawn *d = calloc(1, sizeof *d);
    assert_non_null(d);
    d->masks = (sb_masks){
        .rows = rows, .columns = columns, .block = block, .hidden = hidden, .predicted = predicted
    };
    if (sb_masks_create(&d->masks) != 0)
        fail_msg("%s", sb_error());
    return d;
}

static void destroy(drawn *d)
{
    sb_masks_free(&d->masks);
    free(d);
}

static void draw(drawn *d, uint64_t seed, uint32_t batch, uint32_t view, uint32_t sample)
{
    memset(d->visible, -1, sizeof d->visible);
    memset(d->predicted, -1, sizeof d->predicted);
    sb_masks_draw(&d->masks, seed, batch, view, sample, d->visible, d->predicted);
}

/* Ascending numbers of the grid, none of them in both lists, and nothing written behind. */
static void check_lists(const drawn *d)
{
    const sb_masks *m = &d->masks;
    bool seen[CELLS_MAX] = { 0 };
    for (int i = 0; i < m->visible_count; i++) {
        assert_in_range(d->visible[i], i > 0 ? d->visible[i - 1] + 1 : 0, m->rows * m->columns - 1);
        seen[d->visible[i]] = true;
    }
    for (int i = 0; i < m->predicted_count; i++) {
        assert_in_range(d->predicted[i], i > 0 ? d->predicted[i - 1] + 1 : 0, m->rows * m->columns - 1);
        assert_false(seen[d->predicted[i]]);
    }
    assert_int_equal(d->visible[m->visible_count], -1);
    assert_int_equal(d->predicted[m->predicted_count], -1);
}

static void test_counts(void **state)
{
    (void)state;
    static const struct {
        int rows, columns, block;
        double hidden, predicted;
        int visible_count, predicted_count;
    } cases[] = { { 14, 14, 1, .75, 1, 49, 147 },
                  { 14, 14, 1, .75, .25, 49, 37 },
                  { 8, 8, 4, .75, .5, 16, 24 },
                  { 8, 8, 2, .6, 1, 24, 40 },
                  { 14, 14, 4, .75, .5, 196 - 144, 72 },
                  { 7, 5, 2, .5, .01, 35 - 16, 1 },
                  { 1, 2, 1, .5, 1, 1, 1 },
                  { 63, 63, 4, .75, .25, 3969 - 2976, 744 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        drawn *d = create(cases[i].rows, cases[i].columns, cases[i].block, cases[i].hidden,
                          cases[i].predicted);
        assert_int_equal(d->masks.visible_count, cases[i].visible_count);
        assert_int_equal(d->masks.predicted_count, cases[i].predicted_count);
        for (uint32_t sample = 0; sample < 20; sample++) {
            draw(d, 1, 2, 0, sample);
            check_lists(d);
        }
        destroy(d);
    }
}

/* How many blocks are neither visible nor hidden as a whole. */
static int broken_blocks(const drawn *d)
{
    const sb_masks *m = &d->masks;
    const int across = (m->columns + m->block - 1) / m->block;
    int cells[CELLS_MAX] = { 0 }, visible[CELLS_MAX] = { 0 }, broken = 0;
    for (int i = 0; i < m->rows * m->columns; i++)
        cells[i / m->columns / m->block * across + i % m->columns / m->block]++;
    for (int i = 0; i < m->visible_count; i++)
        visible[d->visible[i] / m->columns / m->block * across + d->visible[i] % m->columns / m->block]++;
    for (int i = 0; i < CELLS_MAX; i++)
        broken += visible[i] != 0 && visible[i] != cells[i];
    return broken;
}

static void test_blocks(void **state)
{
    (void)state;
    for (int block = 2; block <= 4; block += 2)
        for (int side = 12; side <= 15; side++) {
            drawn *d = create(side, side + 1, block, .7, .5);
            const bool whole = side % block == 0 && (side + 1) % block == 0;
            int most = 0;
            for (uint32_t sample = 0; sample < 50; sample++) {
                draw(d, 3, 1, 0, sample);
                const int broken = broken_blocks(d);
                most = broken > most ? broken : most;
            }
            assert_in_range(most, 0, whole ? 0 : 1);
            destroy(d);
        }
    drawn *d = create(16, 8, 4, .75, .5);
    for (uint32_t sample = 0; sample < 50; sample++) {
        draw(d, 3, 1, 0, sample);
        assert_int_equal(broken_blocks(d), 0);
    }
    destroy(d);
}

static void test_same(void **state)
{
    (void)state;
    drawn *one = create(14, 14, 2, .75, .25), *two = create(14, 14, 2, .75, .25);
    draw(one, 5, 6, 1, 7);
    draw(two, 1, 1, 1, 1);
    draw(two, 5, 6, 1, 7);
    assert_memory_equal(one->visible, two->visible, sizeof one->visible);
    assert_memory_equal(one->predicted, two->predicted, sizeof one->predicted);
    const uint32_t others[][4] = { { 6, 6, 1, 7 }, { 5, 7, 1, 7 }, { 5, 6, 0, 7 }, { 5, 6, 1, 8 } };
    for (size_t i = 0; i < 4; i++) {
        draw(two, others[i][0], others[i][1], others[i][2], others[i][3]);
        assert_memory_not_equal(one->visible, two->visible, sizeof one->visible);
        assert_memory_not_equal(one->predicted, two->predicted, sizeof one->predicted);
    }
    destroy(one);
    destroy(two);
}

/* Each cell is visible and predicted as often as its share says: within 5 deviations of a binomial, which of
 * so many cells goes wrong once in some thousand seeds, and this is one seed. */
static void check_uniform(int rows, int columns, int block)
{
    enum { DRAWS = 4000 };
    drawn *d = create(rows, columns, block, .75, .3);
    const int cells = rows * columns;
    int *visible = calloc(CELLS_MAX, sizeof *visible), *predicted = calloc(CELLS_MAX, sizeof *predicted);
    assert_true(visible && predicted);
    for (uint32_t sample = 0; sample < DRAWS; sample++) {
        draw(d, 9, sample / 64, 0, sample % 64);
        for (int i = 0; i < d->masks.visible_count; i++)
            visible[d->visible[i]]++;
        for (int i = 0; i < d->masks.predicted_count; i++)
            predicted[d->predicted[i]]++;
    }
    for (int i = 0; i < cells; i++) {
        const double seen = (double)d->masks.visible_count / cells,
                     named = (double)d->masks.predicted_count / cells;
        assert_true(fabs(visible[i] - DRAWS * seen) < 5 * sqrt(DRAWS * seen * (1 - seen)));
        assert_true(fabs(predicted[i] - DRAWS * named) < 5 * sqrt(DRAWS * named * (1 - named)));
    }
    free(visible);
    free(predicted);
    destroy(d);
}

static void test_uniform(void **state)
{
    (void)state;
    check_uniform(7, 7, 1);
    check_uniform(8, 8, 2);
    check_uniform(8, 16, 4);
    check_uniform(14, 14, 4); /* edges cut blocks */
}

static void refused(sb_masks masks, const char *text)
{
    assert_int_equal(sb_masks_create(&masks), -1);
    assert_non_null(strstr(sb_error(), text));
}

static void test_small(void **state)
{
    (void)state;
    refused((sb_masks){ 4, 4, 4, .75, 1 },
            "of 4 x 4 cells, a share of 0.75 hidden in blocks of 4 x 4 would be all");
    refused((sb_masks){ 1, 1, 1, .75, 1 }, "would be all");
    refused((sb_masks){ 2, 2, 1, .05, 1 }, "would be none");
    refused((sb_masks){ 3, 3, 4, .3, 1 }, "would be none");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_counts), cmocka_unit_test(test_blocks),
                                        cmocka_unit_test(test_same), cmocka_unit_test(test_uniform),
                                        cmocka_unit_test(test_small) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
