/* lars.c: SGD whose step of each matrix is scaled by the ratio of its norm to its gradient's. */
#include "trainer/optimiser.h"

typedef struct {
    double momentum, trust;
} lars_keys;

static const sb_key keys[] = {
    SB_KEY_REAL(lars_keys, momentum, "0.9", 0, 1, "of the gradient"),
    SB_KEY_REAL(lars_keys, trust, "0.001", 0, 10, "trust coefficient"),
};

static void set(const void *own, sb_update_values *values)
{
    const lars_keys *k = own;
    values->momentum = (float)k->momentum;
    values->trust = (float)k->trust;
}

const sb_optimiser_kind sb_optimiser_lars = { .name = "lars",
                                              .keys = SB_KEY_TABLE("optimiser", "lars", lars_keys, keys),
                                              .rule = SB_UPDATE_LARS,
                                              .state_arrays = 1,
                                              .set = set };
