/* contrastive.h: what SimCLR and DCL share: -<z_i, z_pos(i)> / T + log-sum-exp of <z_i, z_j> / T, mean over the 2 N anchors. They
 * differ in one thing: whether the positive is in the log-sum-exp (not where `decoupled`). */
#ifndef SB_TRAINER_METHODS_CONTRASTIVE_H
#define SB_TRAINER_METHODS_CONTRASTIVE_H

#include "trainer/method.h"

size_t sb_contrastive_scratch(const sb_method_shape *shape);
int sb_contrastive_loss(const sb_method_shape *shape, bool decoupled, const float *z, const uint8_t *skip, float *dz, double *loss,
                        float *scratch);

#endif
