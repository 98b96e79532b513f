/* update.c: see update.h. */
#include "kernels/op/update.h"

/* Weight and state are read and written, the gradient is read. LARS reads weight and gradient once more: the
 * norms come before the step. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_update_how *h = how;
    (void)xs;
    (void)backward;
    double floats = 0;
    for (int i = 0; i < h->count; i++)
        floats += (double)h->arrays[i].count;
    return (sb_cost){ .bytes = 4 * floats * (5 + 2 * (h->values.rule != SB_UPDATE_SGD)) };
}

const sb_op sb_op_update = { .name = "update", .cost = cost };
