/* projector.h: the head between backbone and loss: linear layers with batch norm over the whole batch.
 *
 * Hidden layers: linear without bias, batch norm (scale and shift), ReLU. Last layer: linear without bias,
 * then batch norm with scale and no shift if projector.last_norm, else linear with bias (SimCLR v2; DCL's
 * reference). It runs once over the features of all views, so its batch norm is exact whatever the chunk.
 * Names count as torch.nn.Sequential's: projector.0.weight, projector.1.{weight,bias}, projector.3.weight ...
 */
#ifndef SB_TRAINER_HEADS_PROJECTOR_H
#define SB_TRAINER_HEADS_PROJECTOR_H

#include "proto/config.h"
#include "trainer/graph/graph.h"

/* features [n, width] -> embeddings [n, projector.out]. */
sb_t sb_projector(sb_graph *graph, sb_t features, const sb_config *config);

#endif
