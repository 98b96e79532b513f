/* plan.h: which plan computes a convolution (proposals.h says what a plan is). Private to kernels/cuda.
 *
 * If a plan is kept for this machine (choices.h), it is used. Else the first four proposals are timed when
 * the plan is created: of those within a tenth of the fastest, the one with the smallest workspace is chosen.
 * Where a choice cannot be kept, the first proposal is used, untimed, so that the next run uses the same.
 *
 * A workspace is part of the trainer's arena, so it takes room from views, and what it takes at most has to
 * be known before a plan is there (sb_cuda_workspace_most): a plan that needs more is passed over. It has
 * room for the sums that kernels split and for a copy of the filter; in f32 of x and y, too, which many plans
 * reorder. On tensor cores few plans do, and for each convolution of the recipes and encoders cuDNN 9.19
 * proposes one that does not, on six cards (tests/cuda/test_cards.c holds that). Of these plans, those within
 * an eighth of the GPU's memory come first: a chunk has at most an eighth fewer views for a workspace's sake.
 * Only a convolution that has no such plan takes one that needs more: its chunk is too large for the GPU, and
 * the trainer, which then knows the sizes, says which would fit.
 *
 * The choice comes before the arena, so plans are timed on memory of their own, which is given back at once.
 * No GPU has shown yet what timing gains. */
#ifndef SB_KERNELS_CUDA_PLAN_H
#define SB_KERNELS_CUDA_PLAN_H

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/graph.h"

typedef struct {
    sb_cuda_graph graph;
    cudnnBackendDescriptor_t plan; /* NULL: none */
    size_t workspace;              /* bytes */
} sb_cuda_plan;

/* Bytes that a plan's workspace takes at most, in any direction. */
size_t sb_cuda_workspace_most(const sb_cuda_shape *shape);

/* On failure nothing is left. Brings device->planning up to date. */
int sb_cuda_plan_create(sb_cuda *cuda, const sb_cuda_shape *shape, sb_cuda_direction direction,
                        sb_cuda_plan *out);

/* Tolerates what was zeroed and never made. */
void sb_cuda_plan_destroy(sb_cuda_plan *plan);

/* Queues it on the compute stream: x, w, y by sb_cuda_tensor, of which one is written. */
int sb_cuda_plan_run(sb_cuda *cuda, const sb_cuda_plan *plan, const void *x, const void *w, const void *y,
                     void *workspace);

/* What plans share: cuDNN's handle, the choices. start: makes it, if it is not there: by itself the first
 * plan does, so that augment, which has none, is spared the library's memory. close: tolerates NULL. */
int sb_cuda_planner_start(sb_cuda *cuda);
void sb_cuda_planner_close(sb_cuda_planner *planner);

#endif
