/* projector.h: the head between backbone and loss: linear layers with batch norm over the whole batch.
 *
 * Hidden layers: linear without bias, batch norm (scale and shift), ReLU. Last layer: linear without bias, then batch norm with scale and
 * no shift if projector.last_norm, else linear with bias (SimCLR v2; DCL's reference). It runs once over all views * samples
 * features, so its batch norm is exact whatever the chunk. Names: projector.0.weight, projector.1.{weight,bias}, projector.3.weight ... */
#ifndef SB_TRAINER_PROJECTOR_H
#define SB_TRAINER_PROJECTOR_H

#include "trainer/network.h"

typedef struct sb_projector sb_projector;

/* Adds its parameters; `in` is the backbone's width. */
int sb_projector_create(sb_projector **out, sb_parameters *parameters, const sb_config *config, int in, int rows);
void sb_projector_destroy(sb_projector **projector);
size_t sb_projector_bytes(const sb_projector *projector); /* device memory it works in */
int sb_projector_bind(sb_projector *projector, void *memory);

/* x [rows, in] -> *z [rows, out] inside its memory. Batch statistics as in sb_plan_forward. */
int sb_projector_forward(sb_projector *projector, const float *x, float **z, float *batch_statistics);
/* dz [rows, out] -> dx [rows, in]; adds to the parameters' gradient. */
int sb_projector_backward(sb_projector *projector, const float *x, const float *dz, float *dx);
int sb_projector_update_running(sb_projector *projector, const float *batch_statistics, float *running);

#endif
