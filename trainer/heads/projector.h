/* projector.h: the keys of the head between backbone and loss (method.h builds it of mlp.h). */
#ifndef SB_TRAINER_HEADS_PROJECTOR_H
#define SB_TRAINER_HEADS_PROJECTOR_H

#include "proto/key.h"
#include "trainer/heads/mlp.h"

typedef enum { SB_VIEWS_TOGETHER, SB_VIEWS_APART } sb_projector_views;

/* projector.* */
typedef struct {
    int layers; /* linear layers, >= 1; 0 in a step without a backbone (step.h): there is no head, the
                   encoder's included */
    int hidden; /* width of the hidden ones; 0: that of what comes in */
    int out;
    sb_mlp_last last;
    sb_projector_views views;
} sb_projector_keys;

extern const sb_key_table sb_projector_table;

#endif
