/* proposals.h: what cuDNN proposes for a convolution's graph, built into execution plans. Private to
 * kernels/cuda.
 *
 * A plan is one of cuDNN's engines with its knobs set, and is named by both, as cuDNN's own frontend does.
 * Only those are built that give the same bits every time and keep the precision asked for: sums in f32,
 * and f32 means no TF32 but where that is asked for. */
#ifndef SB_KERNELS_CUDA_PROPOSALS_H
#define SB_KERNELS_CUDA_PROPOSALS_H

#include "kernels/cuda/graph.h"

typedef struct {
    cudnnBackendDescriptor_t plan; /* the caller's, who destroys it */
    size_t workspace;              /* bytes */
    char name[512];                /* "eng5_k17=2"; "": cuDNN would not say */
} sb_cuda_proposal;

/* Builds up to `room` plans in the order of cuDNN's heuristics, of different names (the later of two with one
 * name is left out). Those whose workspace is larger than `workspace` are built only where there are no
 * others, those that need more than `workspace_most` never. `name`: the plan of this name alone; NULL: any.
 * `type` is the graph's; rounds: f32 may be TF32. Returns how many it built, which may be 0. */
int sb_cuda_propose(cudnnHandle_t handle, cudnnBackendDescriptor_t graph, sb_type type, bool rounds,
                    size_t workspace, size_t workspace_most, const char *name, sb_cuda_proposal *out,
                    int room);

#endif
