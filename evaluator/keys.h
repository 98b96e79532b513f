/* keys.h: the keys of evaluation. Data alone: every program links it. */
#ifndef SB_EVALUATOR_KEYS_H
#define SB_EVALUATOR_KEYS_H

#include "proto/config.h"

/* evaluate.* */
typedef struct {
    int views;          /* distorted views of each held-out tile */
    int size;           /* pixels of a view; 0 = data.view */
    int snapshot_every; /* steps between the snapshots of the weights that a live evaluator reads */
    int every;          /* of every so many-th snapshot the run itself has the measures; 0: none */
    int max_tiles;      /* held-out tiles at most */
    int labelled;       /* labelled tiles of the training part that a probe learns from, at most */
} sb_evaluate_keys;

extern const sb_key_table sb_evaluate_table;

#endif
