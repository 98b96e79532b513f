/* update.c: see update.h. */
#include "kernels/op/update.h"

/* Weight and state are read and written, the gradient is read. LARS reads weight and gradient once more: the
 * norms come before the step. A coded state has a byte a value, and hardly more. */
static sb_cost cost(const void *how, const sb_shape *xs, bool backward)
{
    const sb_update_how *h = how;
    (void)xs;
    (void)backward;
    const int states = h->values.rule == SB_UPDATE_ADAMW ? 2 : 1,
              read = h->values.rule == SB_UPDATE_LARS ? 5 : 3;
    double bytes = 0;
    for (int i = 0; i < h->count; i++)
        bytes += (double)h->arrays[i].count * (4 * read + 2 * states * (h->arrays[i].coded ? 1 : 4));
    return (sb_cost){ .bytes = bytes };
}

const sb_op sb_op_update = { .name = "update", .cost = cost };
