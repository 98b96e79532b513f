/* state.h: how an optimiser's state lies in memory: for each weight that learns, in the order of the store,
 * as many floats as it has values, or codes of 8 bits with the maxima of their blocks
 * (kernels/share/codes.h). An optimiser has one or two such arrays, of one layout, one behind the other. */
#ifndef SB_TRAINER_STATE_H
#define SB_TRAINER_STATE_H

#include "trainer/graph/store.h"

/* Of a weight that is coded; smaller ones gain nothing. Biases and norms, which are most sensitive, are not
 * coded however long they are. */
#define SB_STATE_CODED_LEAST 4096

typedef struct {
    bool coded;    /* matrices are */
    size_t *at;    /* [entries of the store]: where a weight's state begins, in floats */
    size_t floats; /* of one array */
} sb_state_layout;

/* Of a store that is whole. free tolerates zeroes. */
int sb_state_layout_make(sb_state_layout *out, const sb_store *store, bool coded);
void sb_state_layout_free(sb_state_layout *layout);

/* Whether the entry has a state at all, and whether that is codes. */
bool sb_state_has(const sb_entry *entry);
bool sb_state_coded(const sb_state_layout *layout, const sb_entry *entry);

/* Where entry number i of the store has the maxima of its blocks, and behind them its codes, in an array. */
static inline float *sb_state_maxima(const sb_state_layout *layout, int i, float *array)
{
    return array + layout->at[i];
}
uint8_t *sb_state_codes(const sb_state_layout *layout, const sb_store *store, int i, float *array);

#endif
