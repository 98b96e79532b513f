/* keys.h: the keys of evaluation. Data alone: every program links it. */
#ifndef SB_EVALUATOR_KEYS_H
#define SB_EVALUATOR_KEYS_H

#include "proto/config.h"

/* By what the best checkpoint is chosen; AUTO: what tells most (sb_report_telling). */
typedef enum { SB_BEST_AUTO, SB_BEST_VIEW, SB_BEST_GROUP, SB_BEST_KNN, SB_BEST_PROBE } sb_best;

/* evaluate.* */
typedef struct {
    int views;          /* distorted views of each held-out tile */
    int size;           /* pixels of a view; 0 = data.view */
    int snapshot_every; /* steps between the snapshots of the weights that a live evaluator reads */
    int every;          /* of every so many-th snapshot the run itself has the measures; 0: none */
    int max_tiles;      /* held-out tiles at most */
    sb_best best;
    int labelled; /* labelled tiles of the training part that a probe learns from, at most */
} sb_evaluate_keys;

extern const sb_key_table sb_evaluate_table;

#endif
