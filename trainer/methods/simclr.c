/* simclr.c: SimCLR's NT-Xent (Chen et al. 2020, "A simple framework for contrastive learning of visual representations", eq. 1):
 * L_i = -s_{i,pos(i)}/T + log sum_{j != i} exp(s_ij/T), mean over the 2 N anchors. */
#include "trainer/methods/contrastive.h"

static int loss(const sb_method_shape *shape, const float *z, const uint8_t *skip, float *dz, double *value, float *scratch)
{
    return sb_contrastive_loss(shape, false, z, skip, dz, value, scratch);
}

const sb_method sb_method_simclr = { .name = "simclr", .min_samples = 1, .scratch = sb_contrastive_scratch, .loss = loss };
