/* sgd.c: stochastic gradient descent with momentum. */
#include "trainer/optimiser.h"

typedef struct {
    double momentum;
} sgd_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(sgd_keys, momentum, "0.9", 0, 1, "of the gradient"),
};

static void set(const void *own, sb_update_values *values)
{
    const sgd_keys *k = own;
    values->momentum = (float)k->momentum;
}

const sb_optimiser_kind sb_optimiser_sgd = { .name = "sgd",
                                             .keys = SB_KEY_TABLE("optimiser", "sgd", sgd_keys, keys),
                                             .rule = SB_UPDATE_SGD,
                                             .state_arrays = 1,
                                             .set = set };
