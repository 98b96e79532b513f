/* dcl.c: decoupled contrastive learning (Yeh et al. 2022, section 3): as SimCLR, without the positive in the denominator, which keeps the
 * gradient alive where negatives are few. FlatNCE (Chen et al. 2021) has the same gradient. One sample has no negatives. */
#include "trainer/methods/contrastive.h"

static int loss(const sb_method_shape *shape, const float *z, const uint8_t *skip, float *dz, double *value, float *scratch)
{
    return sb_contrastive_loss(shape, true, z, skip, dz, value, scratch);
}

const sb_method sb_method_dcl = { .name = "dcl", .min_samples = 2, .scratch = sb_contrastive_scratch, .loss = loss };
