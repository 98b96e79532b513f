/* masks.c: see masks.h. */
#include "trainer/masks.h"

#include <math.h>
#include <stdlib.h>

#include "proto/error.h"
#include "proto/memory.h"
#include "proto/random.h"

enum { SEEN, HIDDEN, PREDICTED }; /* what a cell is */

static int least(int a, int b) { return a < b ? a : b; }

int sb_masks_create(sb_masks *m)
{
    const int cells = m->rows * m->columns, of_block = m->block * m->block,
              hidden = of_block * (int)lround(m->hidden * cells / of_block);
    if (hidden < 1 || hidden >= cells)
        return sb_fail("of %d x %d cells, a share of %g hidden in blocks of %d x %d would be %s: smaller "
                       "blocks, larger views or smaller patches are needed",
                       m->rows, m->columns, m->hidden, m->block, m->block, hidden < 1 ? "none" : "all");
    m->visible_count = cells - hidden;
    m->predicted_count = (int)lround(m->predicted * hidden);
    m->predicted_count = m->predicted_count < 1 ? 1 : least(m->predicted_count, hidden);
    m->order = sb_zeroed((size_t)cells, sizeof *m->order, "the order in which cells are hidden");
    m->hidden_cells = sb_zeroed((size_t)cells, sizeof *m->hidden_cells, "which cells are hidden");
    if (m->order && m->hidden_cells)
        return 0;
    sb_masks_free(m);
    return -1;
}

void sb_masks_free(sb_masks *m)
{
    free(m->order);
    free(m->hidden_cells);
    m->order = m->hidden_cells = NULL;
}

/* Brings `few` of `count` numbers to the front, any of them with the same probability. */
static void draw(sb_random *random, int32_t *numbers, int count, int few)
{
    for (int i = 0; i < few; i++) {
        const int k = i + (int)sb_random_below(random, (uint32_t)(count - i));
        const int32_t number = numbers[i];
        numbers[i] = numbers[k];
        numbers[k] = number;
    }
}

/* The cells of a block, to `cells`; how many. */
static int find_block(const sb_masks *m, int number, int32_t *cells)
{
    const int across = (m->columns + m->block - 1) / m->block, top = number / across * m->block,
              left = number % across * m->block;
    int count = 0;
    for (int row = top; row < least(top + m->block, m->rows); row++)
        for (int column = left; column < least(left + m->block, m->columns); column++)
            cells[count++] = row * m->columns + column;
    return count;
}

void sb_masks_draw(sb_masks *m, uint64_t seed, uint32_t batch, uint32_t view, uint32_t sample,
                   int32_t *visible, int32_t *predicted)
{
    const int cells = m->rows * m->columns, hidden = cells - m->visible_count,
              blocks = (m->rows + m->block - 1) / m->block * ((m->columns + m->block - 1) / m->block);
    sb_random random;
    sb_random_init(&random, seed, SB_RANDOM_MASK, batch, view, sample);
    for (int i = 0; i < blocks; i++)
        m->order[i] = i;
    draw(&random, m->order, blocks, blocks);
    /* Gathered from the front: the blocks before and this one are no more than all cells. */
    int gathered = 0;
    for (int i = 0; gathered < hidden; i++) {
        const int count = find_block(m, m->order[i], m->hidden_cells + gathered), left = hidden - gathered;
        if (count > left)
            draw(&random, m->hidden_cells + gathered, count, left);
        gathered += least(count, left);
    }
    draw(&random, m->hidden_cells, hidden, m->predicted_count);
    int32_t *is = m->order; /* from here on, of each cell */
    for (int i = 0; i < cells; i++)
        is[i] = SEEN;
    for (int i = 0; i < hidden; i++)
        is[m->hidden_cells[i]] = i < m->predicted_count ? PREDICTED : HIDDEN;
    for (int i = 0; i < cells; i++) {
        if (is[i] == SEEN)
            *visible++ = i;
        if (is[i] == PREDICTED)
            *predicted++ = i;
    }
}
