/* plan.h: how cuDNN computes a convolution's graph: an execution plan, which is one of its engines with its knobs set. Private to kernels/cuda.
 *
 * A plan gives the same bits every time and keeps the precision asked for: f32 means no TF32. Which it is: the one kept for this machine
 * (choices.h); else the fastest of the heuristics' first four proposals that can be built, timed when the plan is created; else, where a choice
 * cannot be kept, the first of them, untimed, so that the next run takes the same. The choice comes before the trainer's arena, whose scratch it
 * sizes (workspace), so plans are timed on memory of their own, which is given back at once. No GPU has shown yet what timing gains. */
#ifndef SB_KERNELS_CUDA_PLAN_H
#define SB_KERNELS_CUDA_PLAN_H

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/graph.h"

typedef struct {
    sb_cuda_graph graph;
    cudnnBackendDescriptor_t plan; /* NULL: none */
    size_t workspace;              /* bytes */
} sb_cuda_plan;

/* `filter` as for sb_cuda_graph_create. On failure nothing is left. Brings device->planning up to date. */
int sb_cuda_plan_create(sb_cuda *cuda, const sb_conv_shape *shape, sb_cuda_direction direction, sb_type filter, sb_cuda_plan *out);

/* Tolerates what was zeroed and never made. */
void sb_cuda_plan_destroy(sb_cuda_plan *plan);

/* Queues it on the compute stream: x, w, y by sb_cuda_tensor, of which one is written. */
int sb_cuda_plan_run(sb_cuda *cuda, const sb_cuda_plan *plan, const void *x, const void *w, const void *y, void *workspace);

/* What plans share: cuDNN's handle, the choices. Made by the first plan; tolerates NULL. */
void sb_cuda_planner_close(sb_cuda_planner *planner);

#endif
