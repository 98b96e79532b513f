/* projector.h: the head between backbone and loss: linear layers with batch norm over the whole batch.
 *
 * Hidden layers: linear without bias, batch norm (scale and shift), ReLU. Last layer: linear without bias,
 * then batch norm with scale and no shift if projector.last_norm, else linear with bias (SimCLR v2; DCL's
 * reference). It runs once over the features of all views, so its batch norm is exact whatever the chunk.
 * Names count as torch.nn.Sequential's: projector.0.weight, projector.1.{weight,bias}, projector.3.weight ...
 */
#ifndef SB_TRAINER_HEADS_PROJECTOR_H
#define SB_TRAINER_HEADS_PROJECTOR_H

#include "proto/key.h"
#include "trainer/graph/graph.h"

/* projector.* */
typedef struct {
    int layers; /* linear layers, >= 1 */
    int hidden; /* width of the hidden ones; 0 = the encoder's */
    int out;
    bool last_norm; /* batch norm (scale, no shift) after the last layer */
} sb_projector_keys;

extern const sb_key_table sb_projector_table;

/* features [n, width] -> embeddings [n, projector.out]. */
sb_t sb_projector(sb_graph *graph, sb_t features, const sb_projector_keys *keys);

#endif
