/* adamw.c: Adam with the decay of weights beside it (Loshchilov and Hutter 2019). */
#include "trainer/optimiser.h"

typedef struct {
    double beta1, beta2, epsilon;
} adamw_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(adamw_keys, beta1, "0.9", 0, 0.999999, "decay of the mean of gradients"),
    SB_KEY_REAL(adamw_keys, beta2, "0.999", 0, 0.999999, "decay of the mean of their squares"),
    SB_KEY_REAL(adamw_keys, epsilon, "1e-08", 0, 1, "added to the root of that mean"),
};

static void set(const void *own, sb_update_values *values)
{
    const adamw_keys *k = own;
    values->beta1 = k->beta1;
    values->beta2 = k->beta2;
    values->epsilon = (float)k->epsilon;
}

const sb_optimiser_kind sb_optimiser_adamw = { .name = "adamw",
                                               .keys = SB_KEY_TABLE("optimiser", "adamw", adamw_keys, keys),
                                               .rule = SB_UPDATE_ADAMW,
                                               .state_arrays = 2,
                                               .set = set };
