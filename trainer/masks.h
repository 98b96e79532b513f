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

#include <stddef.h>
#include <stdint.h>

#include "proto/key.h"

/* The keys that the methods which mask share. */
typedef struct {
    double hidden, predicted;
    int block;
} sb_mask_keys;

/* The rows of a method's table, for the field `member` of its struct; as texts the first share that is
 * hidden, side of a block and share of it that is predicted. cells: what the method calls a cell, in the
 * plural. */
#define SB_KEYS_MASK(type, member, hide, side, predict, cells)                                       \
    SB_KEY_MASK(SB_KIND_REAL, type, member, hidden, hide, 0.01, 0.99,                                \
                "share of the " cells " that the encoder does not see"),                             \
        SB_KEY_MASK(SB_KIND_INT, type, member, block, side, 1, 64,                                   \
                    cells " are hidden in squares of so many a side: larger ones for large images"), \
        SB_KEY_MASK(SB_KIND_REAL, type, member, predicted, predict, 0.001, 1,                        \
                    "share of the hidden " cells " that are predicted")
#define SB_KEY_MASK(kind_, type, member, field, first, low, high, what)                      \
    {                                                                                        \
        .name = #field, .kind = (kind_), .initial = (first), .least = (low), .most = (high), \
        .offset = offsetof(type, member) + offsetof(sb_mask_keys, field), .meaning = (what)  \
    }

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
