/* optimiser.h: the keys of all optimisers, and what one of them is: the rule of its step
 * (kernels/op/update.h) and the rule's own keys. Each is a file in optimisers/ and a line in optimisers.def.
 */
#ifndef SB_TRAINER_OPTIMISER_H
#define SB_TRAINER_OPTIMISER_H

#include "kernels/op/update.h"
#include "proto/key.h"

typedef enum { SB_SCALING_NONE, SB_SCALING_LINEAR, SB_SCALING_SQRT } sb_lr_scaling;
typedef enum { SB_STATE_F32, SB_STATE_8BIT } sb_state_form;

/* optimiser.* */
typedef struct {
    int name; /* in optimisers.def */
    double lr;
    sb_lr_scaling scaling; /* lr; lr B/256; lr sqrt(B) */
    double warmup;         /* share of the steps, linear from 0 */
    double final_lr;       /* share of the peak where the cosine ends */
    double weight_decay;
    sb_state_form state;
} sb_optimiser_keys;

extern const sb_key_table sb_optimiser_table;
extern const char sb_optimiser_names[]; /* "|sgd|lars..." */

typedef struct {
    const char *name;
    sb_key_table keys; /* of this one alone */
    sb_update_rule rule;
    int state_arrays; /* each with a value for every weight (graph/state.h) */
    /* Writes its keys into the values of a step; all other values are there already. */
    void (*set)(const void *keys, sb_update_values *values);
} sb_optimiser_kind;

#define SB_OPTIMISER(name) extern const sb_optimiser_kind sb_optimiser_##name;
#include "trainer/optimisers/optimisers.def"
#undef SB_OPTIMISER

#endif
