/* optimiser.c: see optimiser.h. */
#include "trainer/optimiser.h"

#define SB_OPTIMISER(name) "|" #name
const char sb_optimiser_names[] =
#include "trainer/optimisers/optimisers.def"
    ;
#undef SB_OPTIMISER

static const sb_key optimiser_keys[] = {
    SB_KEY_CHOICE(sb_optimiser_keys, name, "sgd", sb_optimiser_names + 1, "the optimiser"),
    SB_KEY_REAL(sb_optimiser_keys, lr, "0.03", 0, 1000, "learning rate before scaling"),
    SB_KEY_CHOICE(sb_optimiser_keys, scaling, "linear", "none|linear|sqrt",
                  "lr; lr batch / 256; lr sqrt(batch)"),
    SB_KEY_REAL(sb_optimiser_keys, warmup, "0.1", 0, 1, "share of the steps, linear from 0"),
    SB_KEY_REAL(sb_optimiser_keys, final_lr, "0", 0, 1, "share of the peak where the cosine ends"),
    SB_KEY_REAL(sb_optimiser_keys, weight_decay, "0.0001", 0, 10, "of matrices; not of biases and norms"),
    SB_KEY_CHOICE(
        sb_optimiser_keys, state, "f32", "f32|8bit",
        "what it keeps of past gradients; 8bit: of matrices as codes of 8 bits, a quarter of the memory"),
};

const sb_key_table sb_optimiser_table = SB_KEY_TABLE("optimiser", NULL, sb_optimiser_keys, optimiser_keys);
