/* masks.h: which cells of a view an encoder sees, and which of the others are predicted (masked modelling: He
 * et al. 2022; blocks of hidden cells: Bao et al. 2022, Pixio 2025). A cell is a patch of a transformer, or
 * what one place of a convolutional net's last map stands for.
 *
 * A draw is a pure function of the seed, the batch, the view and the sample. How many cells are seen and
 * predicted follows from the grid and the shares alone, so that every image of every batch has as many.
 *
 * The grid lies in blocks from its upper left corner on, which are cut at its other edges. As many cells as
 * fill whole blocks are hidden; blocks are hidden in a random order, whole, until there are so many. Of the
 * last one, where edges cut blocks, it may be some cells alone. Each hidden cell is predicted with the same
 * probability. */
#ifndef SB_TRAINER_MASKS_H
#define SB_TRAINER_MASKS_H

#include <stdint.h>

typedef struct {
    int rows, columns;             /* of the grid */
    int block;                     /* side of a block, in cells; 1: each cell by itself */
    double hidden;                 /* share of the cells */
    double predicted;              /* share of the hidden cells; at least one is predicted */
    int visible_count;             /* found from these */
    int predicted_count;           /* the same */
    int32_t *order, *hidden_cells; /* [cells]: what a draw works in */
} sb_masks;

/* From the first five fields of *m. Fails where no cell would be seen or none hidden. To be freed. */
int sb_masks_create(sb_masks *m);
void sb_masks_free(sb_masks *m);

/* The numbers (row by row) of the visible and of the predicted cells, ascending: [visible_count] and
 * [predicted_count]. */
void sb_masks_draw(sb_masks *m, uint64_t seed, uint32_t batch, uint32_t view, uint32_t sample,
                   int32_t *visible, int32_t *predicted);

#endif
