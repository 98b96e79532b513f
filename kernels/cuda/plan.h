/* plan.h: how cuDNN computes a convolution's graph: an execution plan of one of its engines. Private to kernels/cuda.
 *
 * A plan gives the same bits every time and keeps the precision asked for: f32 means no TF32. It is the first such of the heuristics' proposals
 * that can be built. */
#ifndef SB_KERNELS_CUDA_PLAN_H
#define SB_KERNELS_CUDA_PLAN_H

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/graph.h"

typedef struct {
    sb_cuda_graph graph;
    cudnnBackendDescriptor_t plan; /* NULL: none */
    size_t workspace;              /* bytes */
} sb_cuda_plan;

/* `filter` as for sb_cuda_graph_create. On failure nothing is left. */
int sb_cuda_plan_create(sb_cuda *cuda, const sb_conv_shape *shape, sb_cuda_direction direction, sb_type filter, sb_cuda_plan *out);

/* Tolerates what was zeroed and never made. */
void sb_cuda_plan_destroy(sb_cuda_plan *plan);

/* Queues it on the compute stream: x, w, y by sb_cuda_tensor, of which one is written. */
int sb_cuda_plan_run(sb_cuda *cuda, const sb_cuda_plan *plan, const void *x, const void *w, const void *y, void *workspace);

#endif
