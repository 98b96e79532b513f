/* mlp.h: the heads behind a backbone (projector, predictor): linear layers with batch norm and ReLU between.
 *
 * A hidden layer is linear without bias (the norm's shift takes its place), batch norm with scale and shift,
 * ReLU. The last layer is linear and, by `last`: batch norm with scale and no shift behind it (SimCLR v2,
 * DCL's reference); with a bias; neither; or batch norm with neither scale nor shift (SimSiam). A head runs
 * over the features of all samples at once, so its norms are exact whatever the chunk. Names count as
 * torch.nn.Sequential's: projector.0.weight, projector.1.{weight,bias}, projector.3.weight ... */
#ifndef SB_TRAINER_HEADS_MLP_H
#define SB_TRAINER_HEADS_MLP_H

#include "trainer/graph/graph.h"

typedef enum { SB_LAST_NORM, SB_LAST_BIAS, SB_LAST_PLAIN, SB_LAST_UNSCALED } sb_mlp_last;

typedef struct {
    int layers; /* linear ones, >= 1 */
    int hidden; /* width of the hidden ones; 0: x's */
    int out;
    sb_mlp_last last;
    bool untracked; /* its norms gather no running statistics */
} sb_mlp_how;

/* x [n, width] -> [n, out]. A second call with the same name shares its weights. */
sb_t sb_mlp(sb_graph *graph, sb_t x, const char *name, const sb_mlp_how *how);

#endif
