/* lejepa.h: what LeJEPA and VISReg share (lejepa.c). */
#ifndef SB_TRAINER_LEJEPA_H
#define SB_TRAINER_LEJEPA_H

#include "trainer/method.h"

/* Of embeddings z of all views: the mean over views, samples and coordinates of (z - c)^2, where c is the
 * mean of the sample's first `globals` views: [1, 1]. Fails where a sample has fewer. */
sb_t sb_disagreement(sb_method *method, sb_t z, int globals);

/* Projector and optimiser; ends with NULL. */
extern const char *const sb_lejepa_defaults[];

#endif
