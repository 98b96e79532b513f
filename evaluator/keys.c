/* keys.c: see keys.h. */
#include "evaluator/keys.h"

static const sb_key evaluate_keys[] = {
    SB_KEY_INT(sb_evaluate_keys, views, "8", 1, 16, "distorted views of each held-out tile", .apart = true),
    SB_KEY_SIDE(sb_evaluate_keys, size, "0", 16, 1024, "side of an evaluation's views; 0: data.view",
                .apart = true),
    SB_KEY_INT(sb_evaluate_keys, snapshot_every, "50", 1, 1 << 30, "steps between weights for evaluators",
               .apart = true),
    SB_KEY_INT(sb_evaluate_keys, every, "0", 0, 1 << 30,
               "the run itself measures every so many-th of these, beside training; 0: none", .apart = true),
    SB_KEY_CHOICE(
        sb_evaluate_keys, best, "auto", "auto|view_retrieval|group_retrieval|knn_top1|probe",
        "the measure by which checkpoints/best is kept; auto: what tells most: kNN, else group, else "
        "view",
        .apart = true),
    SB_KEY_INT(sb_evaluate_keys, max_tiles, "256", 2, 65536, "held-out tiles, spread evenly", .apart = true),
    SB_KEY_INT(sb_evaluate_keys, labelled, "1024", 0, 65536,
               "labelled training tiles, spread evenly, that the probe learns from; 0: no probe",
               .apart = true),
};

const sb_key_table sb_evaluate_table = SB_KEY_TABLE("evaluate", NULL, sb_evaluate_keys, evaluate_keys);
